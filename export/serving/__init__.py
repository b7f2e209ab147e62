"""The parts of `export.serve`, which import no Keras and of kgan kgan.kinds alone: they run where TensorFlow is installed.

app       the paths, and what holds for all of them: hosts, headers, log, errors
rest      TensorFlow Serving's JSON to arrays and back
pictures  what the query of a picture says: seed, label, truncation; new conditions go there
drawing   samples to picture files
making    the parts of a form to a function's inputs, and its output to a file
contract  the functions of a model, as generator.json tells of them
model     a SavedModel in memory, and the newest of those on disk
batching  requests that come at the same time run as one call
service   the model that is served, the queue before it, the threads for pictures, and what is counted
limits    bounds, and what is said when one is exceeded
"""
