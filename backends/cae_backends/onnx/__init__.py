"""What an ONNX file holds, read before any runtime sees it."""
