"""Benchmark of methods x tasks x seeds, run as jobs run them: `python -m benchmarks.adaptation`, then the same with `.report`.

Every run is `worker.training.trials` on encoded data, with the method's defaults or a named variant of them. The
twenty checks of a run store the score of each validator and the true accuracy. Validators, estimates and rules of `auto` are
therefore compared afterwards on the same networks, without training again.
"""
