"""Dynamic batching: requests that wait while a call runs make up the next call together."""
import collections
import concurrent.futures
import threading

import numpy as np

Item = collections.namedtuple("Item", "key call inputs rows future")


class Full(Exception):
    """More rows than may wait: try again later."""


class Batcher:
    """One thread that calls models, so that they get all cores and memory is that of one batch.

    Args:
        max_batch: rows of a call.
        max_queue: rows that may wait, at least max_batch.
        wait: seconds that a first request waits for others; 0: it waits only while another call runs.
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
            rows: how much of the queue it takes up, at most max_batch.
            joins: whether it may run as one with other requests of the same `call`, rows below rows.

        Returns:
            concurrent.futures.Future of what `call` gives for these inputs.

        Raises:
            Full: the queue has no room for these rows.
        """
        shapes = tuple((name, array.shape[1:]) for name, array in sorted(inputs.items())) if joins else object()
        item = Item((call, shapes), call, inputs, rows, concurrent.futures.Future())
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
        """The items at the head of the queue that can run as one call: at least one."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue)
            if self.wait:
                self._changed.wait_for(lambda: self.rows >= self.max_batch, self.wait)
            batch = [self._queue.popleft()]
            rows = batch[0].rows
            while self._queue and self._queue[0].key == batch[0].key and rows + self._queue[0].rows <= self.max_batch:
                batch.append(self._queue.popleft())
                rows += batch[-1].rows
            self.rows -= rows
            return batch

    def _run(self, batch):
        try:
            self.observe(sum(item.rows for item in batch))
            if len(batch) == 1:
                batch[0].future.set_result(batch[0].call(batch[0].inputs))
                return
            outputs = batch[0].call({name: np.concatenate([item.inputs[name] for item in batch])
                                     for name in batch[0].inputs})
            start = 0
            for item in batch:
                item.future.set_result({name: array[start:start + item.rows] for name, array in outputs.items()})
                start += item.rows
        except Exception as error:  # it is the requests' answer; the thread goes on
            for item in batch:
                if not item.future.done():
                    item.future.set_exception(error)
