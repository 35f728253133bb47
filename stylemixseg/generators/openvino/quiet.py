"""OpenVINO without its telemetry: the one place from which this project imports it.

When it is imported, OpenVINO looks for the package `openvino_telemetry`, which comes with it; where that is found, it
asks the network for the address of an analytics service and writes an identifier and a counter into `~/intel`. Where it
is not found, OpenVINO takes a stub of its own that does nothing. So it is not found here, while OpenVINO is imported.

A user who has imported OpenVINO before us keeps it as it is.
"""

from stylemixseg._util.quiet import absent

with absent("openvino_telemetry"):
    import openvino
    from openvino import Node, opset13

__all__ = ["Node", "openvino", "opset13"]
