"""Multi-Agent MuJoCo: one robot, one agent per group of joints. Needs the optional extra `mujoco`."""
