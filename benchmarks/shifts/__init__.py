"""Source and target data of many kinds, on which the selection, the verdicts and the intervals are fitted and judged."""
