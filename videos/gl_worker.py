"""The process that draws robots through OpenGL; videos.backends starts it with MUJOCO_GL set.

With the path of a request (`task`, `qpos` [F, nq], `size`) it writes raw pictures to standard output. Without one
it draws a trial picture and names the driver.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

import mujoco
import numpy as np

_HIDDEN = ("SHADOW", "REFLECTION", "HAZE")  # several times slower with them
_SLICES, _STACKS = 16, 8  # facets of round shapes; finer ones do not show at a film's size
_OWN = "film-floor"
_FLOOR_HALF_M = 30.0  # an endless plane takes three times as long; this one travels with the camera
_FLOOR = ((0.20, 0.22, 0.26), (0.28, 0.305, 0.355), (0.38, 0.42, 0.48))  # dark and light squares, their edges
_SKY = ((0.30, 0.335, 0.39), (0.13, 0.15, 0.18))  # above, below
_HORIZON = (0.18, 0.2, 0.235, 1.0)
_SHADOW = (0.105, 0.115, 0.14, 1.0)
_FOG = (4.0, 20.0)  # where it starts and where it hides everything, in camera distances


def _probe(out: BinaryIO) -> None:
    """Write the driver's name for itself, after it has drawn a picture that is not empty."""
    xml = "<mujoco><worldbody><geom size='1' rgba='1 1 1 1'/></worldbody></mujoco>"
    model = mujoco.MjModel.from_xml_string(xml)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, 32, 32) as renderer:
        renderer.update_scene(data)
        if not renderer.render().any():
            sys.exit("the picture is empty")
        out.write(_driver().encode())


def _driver() -> str:
    from OpenGL import GL  # type: ignore[import-untyped]

    name = GL.glGetString(GL.GL_RENDERER)
    return name.decode(errors="replace") if isinstance(name, bytes) else "a driver without a name"


def _serve(request_file: Path, out: BinaryIO) -> None:
    from videos.robots import SHOTS, look_at

    request = np.load(request_file, allow_pickle=False)
    task, (width, height) = str(request["task"]), (int(n) for n in request["size"])
    shot, model = SHOTS[task], _dressed(task)
    model.vis.global_.offwidth, model.vis.global_.offheight = width, height
    data, camera = mujoco.MjData(model), mujoco.MjvCamera()
    camera.distance, camera.azimuth, camera.elevation = shot.distance, shot.azimuth, shot.elevation
    picture = np.empty((height, width, 3), dtype=np.uint8)
    stage = _Stage(model, shot.square_m)
    with mujoco.Renderer(model, height, width) as renderer:
        for flag in _HIDDEN:
            renderer.scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{flag}")] = 0
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_FOG] = 1
        for qpos in request["qpos"]:
            data.qpos[:] = qpos
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_camlight(model, data)
            camera.lookat[:] = look_at(shot, data)
            stage.move(data, camera.lookat)
            renderer.update_scene(data, camera)
            stage.add_shadows(renderer.scene)
            out.write(renderer.render(out=picture).data)
            out.flush()


def _dressed(task: str) -> Any:
    """A robot's model in our colours, on our floor, under our sky and light."""
    from env_adapters.mamujoco.legacy import load_spec, quietly
    from env_adapters.mamujoco.robots import ROBOTS
    from videos.robots import SHOTS, floor_geom, geom_colours

    shot = SHOTS[task]
    spec = load_spec(ROBOTS[task])
    _paint(spec, shot.square_m)
    _light(spec, shot.azimuth)
    with quietly():
        model = spec.compile()
    model.geom_matid[:] = -1
    model.geom_rgba[:, :3] = np.array(geom_colours(model)) / 255
    floor = floor_geom(model)
    model.geom_matid[floor] = model.material(_OWN).id
    model.geom_rgba[floor] = 1
    model.geom_size[floor] = _FLOOR_HALF_M  # its third size is the spacing of a mesh; a fine one is slow
    model.vis.quality.offsamples = 0
    model.vis.quality.numslices, model.vis.quality.numstacks = _SLICES, _STACKS
    model.vis.rgba.fog[:] = _HORIZON
    model.vis.map.fogstart, model.vis.map.fogend = (
        reach * shot.distance / model.stat.extent for reach in _FOG
    )
    return model


def _paint(spec: Any, square_m: float) -> None:
    """Give a model description the film's sky, and a floor material with squares."""
    for texture in list(spec.textures):
        if texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX:
            spec.delete(texture)
    sky = spec.add_texture(name="film-sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, width=64, height=64)
    sky.builtin, sky.rgb1, sky.rgb2 = mujoco.mjtBuiltin.mjBUILTIN_GRADIENT, *_SKY
    floor = spec.add_texture(name=_OWN, type=mujoco.mjtTexture.mjTEXTURE_2D, width=256, height=256)
    floor.builtin, floor.mark = mujoco.mjtBuiltin.mjBUILTIN_CHECKER, mujoco.mjtMark.mjMARK_EDGE
    floor.rgb1, floor.rgb2, floor.markrgb = _FLOOR
    repeat = 0.5 / square_m  # the texture holds two squares by two
    material = spec.add_material(name=_OWN, texuniform=True, texrepeat=[repeat, repeat], specular=0.05)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = _OWN


def _light(spec: Any, azimuth: float) -> None:
    """Replace a model description's lights by one from the upper left, behind the camera."""
    for light in list(spec.lights):
        spec.delete(light)
    turn = np.radians(azimuth - 35)
    light = spec.worldbody.add_light(type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, castshadow=False)
    light.dir = [0.6 * np.cos(turn), 0.6 * np.sin(turn), -0.8]
    light.diffuse, light.specular = [0.55] * 3, [0.15] * 3
    headlight = spec.visual.headlight
    headlight.ambient, headlight.diffuse, headlight.specular = [0.4] * 3, [0.25] * 3, [0.0] * 3


class _Stage:
    """The floor, which travels with the camera in whole squares, and the robot's shadow on it.

    The shadow is the robot itself, pressed flat: sharp, straight below, and many times quicker than OpenGL's.
    """

    def __init__(self, model: Any, square_m: float) -> None:
        from videos.robots import floor_geom

        self._floor, self._period = floor_geom(model), 2 * square_m
        self._height = float(model.geom_pos[self._floor][2])
        self._lift = 0.002 * square_m

    def move(self, data: Any, target: Any) -> None:
        """Put the floor below what the camera looks at [3]."""
        data.geom_xpos[self._floor][:2] = np.round(target[:2] / self._period) * self._period

    def add_shadows(self, scene: Any) -> None:
        """Press a copy of every body's geom flat onto the floor."""
        for index in range(scene.ngeom):
            geom = scene.geoms[index]
            if geom.type == mujoco.mjtGeom.mjGEOM_PLANE or scene.ngeom == scene.maxgeom:
                continue
            flat = geom.mat.copy()
            flat[2] *= 0.001
            shadow = scene.geoms[scene.ngeom]
            place = (*geom.pos[:2], self._height + self._lift)
            mujoco.mjv_initGeom(
                shadow, geom.type, geom.size, np.array(place), flat.ravel(), np.array(_SHADOW)
            )
            shadow.size[:] = geom.size  # which are arranged as a model's for some kinds, and not for others
            scene.ngeom += 1


def _private_output() -> BinaryIO:
    """Standard output for us alone: what a driver prints cannot get between the pictures."""
    out = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    return out


if __name__ == "__main__":
    with _private_output() as output:
        if len(sys.argv) > 1:
            _serve(Path(sys.argv[1]), output)
        else:
            _probe(output)
