"""`dreamgan export_onnx`: a trained generator as a file that runs without PyTorch."""

from __future__ import annotations

TOLERANCE = 1e-4


def export_onnx(
    generator: str | None = None,
    out: str = "dreamgan.onnx",
    style: str | None = None,
    blend: str | None = None,
    strength: float | None = None,
    check: bool = True,
) -> None:
    """Write a generator as an ONNX file, for ONNX Runtime, browsers and phones.

    Inputs of the file: photos (batch, 3, height, width), float32 in [0, 1], any size from 32 px; styles (batch, number
    of styles), the weight of each style; strength (batch), 0 for the photo to 1.5. Output: dreams, like photos. What is
    given here is worked in, and is no input any more: a style or a blend, and with it a strength.

    Example: dreamgan export_onnx --style inception --strength 1 --out inception.onnx

    Args:
        generator: Folder that training exported (model.safetensors and config.json). Default: the generator that
            comes with the package.
        out: The file to write.
        style: Name of a style to work in.
        blend: In place of a style, several with their weights, as in inception=0.5,vgg=0.5.
        strength: Strength to work in together with the style or the blend; such a file is the fastest.
        check: Compare the file with PyTorch before it is written, at several sizes; needs ONNX Runtime.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    from pathlib import Path

    from dreamgan.commands.flags import out_folder
    from dreamgan.commands.variants import parse_blend
    from dreamgan.errors import UserError
    from dreamgan.exporting.graph import as_onnx, need
    from dreamgan.exporting.runtime import SHAPES, largest_difference
    from dreamgan.files import whole_file
    from dreamgan.generators import generator_folder
    from dreamgan.sampling import load_generator

    need("onnx", "onnxscript", *(("onnxruntime",) if check else ()))
    if style is not None and blend is not None:
        raise UserError("--style and --blend exclude each other; give one of them")
    if strength is not None and style is None and blend is None:
        raise UserError("--strength is worked in only together with a style; give --style or --blend, too")
    file = Path(out).expanduser()
    if not file.name or file.is_dir():
        raise UserError(f"--out is {out!r}, a folder; give a file, such as {file / 'dreamgan.onnx'}")
    out_folder(str(file.parent))
    loaded = load_generator(generator_folder(generator))
    graph = as_onnx(loaded, style if blend is None else parse_blend(blend), strength)
    if check:
        difference = largest_difference(graph, loaded)
        if not difference <= TOLERANCE:
            raise UserError(
                f"ONNX Runtime's dreams differ from PyTorch's by up to {difference:.2g}, more than {TOLERANCE:g}; "
                "nothing was written; try another version of onnxruntime, or --check false"
            )
    with whole_file(file) as temporary:
        temporary.write_bytes(graph.model)
    styles = f" ({', '.join(loaded.styles)})"
    inputs = ", ".join(name + styles * (name == "styles") for name in graph.inputs)
    print(f"{file}: {len(graph.model) / 1e6:.1f} MB; inputs {inputs}")
    if check:
        print(f"largest difference from PyTorch in {len(SHAPES)} batches of several sizes: {difference:.1g}")
