"""Dynamic batching: requests that wait while a call runs make up the next call together."""
import collections
import concurrent.futures
import threading
import time

import numpy as np

Item = collections.namedtuple("Item", "key call inputs rows future due")


class Full(Exception):
    """More rows than may wait: try again later."""


class Batcher:
    """One thread that makes every call of the models that are served: they get all cores, and memory is that of one.

    Args:
        max_batch: rows of a call.
        max_queue: rows that may wait, at least max_batch.
        wait: seconds after it came that a request is kept for others to join; 0: only while another call runs.
        observe: called with the rows of each call.
    """

    def __init__(self, max_batch, max_queue, wait=0.0, observe=lambda rows: None):
        self.max_batch, self.max_queue, self.wait, self.observe = max_batch, max_queue, wait, observe
        self.rows = 0  # that wait
        self._queue, self._changed = collections.deque(), threading.Condition()
        threading.Thread(target=self._work, name="batcher", daemon=True).start()

    def submit(self, call, inputs, rows, joins=True):
        """Has `call(inputs)` made in turn.

        Args:
            call: function from a dict of arrays to a dict of arrays.
            inputs: dict of arrays; where `joins`, all [rows, ...].
            rows: how much of the queue it takes up; where `joins`, at most max_batch.
            joins: whether it may run as one with other requests of the same `call`, rows below rows.

        Returns:
            concurrent.futures.Future of what `call` gives for these inputs.

        Raises:
            Full: the queue has no room for these rows.
        """
        shapes = tuple((name, array.shape[1:]) for name, array in sorted(inputs.items())) if joins else object()
        due = time.monotonic() + (self.wait if joins else 0)
        item = Item((call, shapes), call, inputs, rows, concurrent.futures.Future(), due)
        with self._changed:
            if self.rows + rows > self.max_queue:
                raise Full(f"{self.rows} rows wait already, {rows} more exceed {self.max_queue}")
            self._queue.append(item)
            self.rows += rows
            self._changed.notify()
        return item.future

    def _work(self):
        while True:
            batch = [item for item in self._take() if item.future.set_running_or_notify_cancel()]
            if batch:
                self._run(batch)

    def _take(self):
        """The head of the queue and what can run with it as one call, wherever it waits; the rest keeps its order."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue)
            head = self._queue[0]
            self._changed.wait_for(
                lambda: sum(item.rows for item in self._queue if item.key == head.key) >= self.max_batch,
                head.due - time.monotonic())
            batch, rest, rows = [], collections.deque(), 0
            for item in self._queue:
                joins = item is head or item.key == head.key and rows + item.rows <= self.max_batch
                (batch if joins else rest).append(item)
                rows += item.rows if joins else 0
            self._queue = rest
            self.rows -= rows
            return batch

    def _run(self, batch):
        try:
            self.observe(sum(item.rows for item in batch))
            if len(batch) == 1:
                results = [batch[0].call(batch[0].inputs)]
            else:
                outputs = batch[0].call({name: np.concatenate([item.inputs[name] for item in batch])
                                         for name in batch[0].inputs})
                ends = np.cumsum([item.rows for item in batch])
                results = [{name: array[end - item.rows:end] for name, array in outputs.items()}
                           for item, end in zip(batch, ends)]
        except Exception as error:  # it is the request's answer; the thread goes on
            if len(batch) == 1:
                return batch[0].future.set_exception(error)
            for item in batch:  # what one of them did must not be the answer to the others
                self._run([item])
        else:
            for item, result in zip(batch, results):
                item.future.set_result(result)
