"""Methods x tasks x seeds, measured as jobs run them: `python -m benchmarks.adaptation`, then the same with `.report`.

Every run is `worker.training.trials` on encoded data, with the method's defaults or a named variant of them. What a run's
twenty checks
see is kept: each validator's score, each part of the estimate, and the truth that neither of them knows. So validators,
estimates and rules of `auto` are compared afterwards, on the same networks, without training anything again.
"""
