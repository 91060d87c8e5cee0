"""Statistics of labelled rows: which rows to label, and what their labels say about a version.

Decision: stratified samples with Wilson intervals, and figures that change only at planned looks. Context: people label 20 to 100
rows and need an interval that is true at such sizes. Consequences: one honest number after 20 labels, without a training. A
figure does not follow every label, because stopping at a favourable one would bias it. Alternatives: prediction-powered
inference and active testing give intervals a tenth narrower, which hold too rarely at these sizes. Sequences that allow a look
after every label are much wider.

The modules know neither the database nor HTTP.
"""
