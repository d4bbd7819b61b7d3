"""Fitted estimators as the objects of other libraries: scikit-learn's own, ONNX graphs."""
