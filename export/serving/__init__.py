"""The parts of `export.serve`, none of which imports Keras or kgan: they run where TensorFlow alone is installed.

app       the paths, and what holds for all of them: hosts, headers, log, errors
rest      TensorFlow Serving's JSON to arrays and back
pictures  what the query of a picture says: seed, label, truncation; new conditions go there
drawing   samples to pictures; new kinds of samples go there
model     a SavedModel in memory, and the newest of those on disk
noise     ways through the space of noise, and its truncation
batching  requests that come at the same time run as one call
service   the model that is served, the queue before it, the threads for pictures, and what is counted
limits    bounds, and what is said when one is exceeded
"""
