"""Generated code; never edited. Source: protos/. Generator: protos/generate.py."""
