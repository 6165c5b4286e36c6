"""The commands of `harness`, one module each with a function `main(arguments) -> exit code`."""
