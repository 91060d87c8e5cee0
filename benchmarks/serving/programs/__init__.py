"""The programs that are measured beside the service, each started as a process of its own, most in an environment of their own.

They read two variables: BENCHMARK_GRAPHS is a folder of exported graphs, NAME.onnx, and BENCHMARK_PORT is where to listen.
"""
