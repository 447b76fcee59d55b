"""AOTInductor packages: the network compiled to machine code ahead of time, run by torch."""

from __future__ import annotations

from pathlib import Path

from eseg.deploy.export.pixel_network import PixelNetwork, trace
from eseg.deploy.export.quiet import quiet
from eseg.errors import ExportError
from eseg.models import ESeg
from eseg.runtime.network_info import KEY, NetworkInfo


def write_aot(network: ESeg, path: Path, info: NetworkInfo) -> list[Path]:
    """Compile a network for the device that it is on, and package it as a `.pt2` file.

    The package serves the size in its description, or every size, on processors (or GPUs) like this
    machine's, with this very version of torch. It contains code: run only what you trust.

    Raises:
        ExportError: There is no C++ compiler, it failed, or the network has no such graph.
    """
    from torch._inductor import aoti_compile_and_package
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import CppCompileError, InductorError, InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise ExportError(
            "`format` pt2 compiles machine code and found no C++ compiler: install one (g++, or "
            "name another in the environment variable CXX), or take `format` onnx"
        ) from None
    pixels = PixelNetwork(network, outputs=info.outputs, half=info.precision == "fp16")
    program = trace(pixels, info.size)
    try:
        with quiet("torch.utils.cpp_extension"):  # it misses CUDA where there never was one
            aoti_compile_and_package(
                program,
                package_path=str(path),
                inductor_configs={"aot_inductor.metadata": {KEY: info.to_json()}},
            )
    except (CppCompileError, InductorError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ExportError(f"`format` pt2: the network cannot be compiled: {reason}") from error
    return [path]
