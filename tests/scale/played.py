"""Helpers that are played: they do what they are given at once, in this process and in memory of their own."""

from __future__ import annotations

import pickle


class Helper:
    """Does what it is given at once; parts numbered in ``lost`` never come."""

    def __init__(self, work, count=2, lost=()):
        self.doing = work.there(*(each.make(pickle.loads(pickle.dumps(each.value, 5))) for each in work.sent))
        self.helpers, self.lost, self.out, self.given = count, set(lost), {}, []

    def room(self):
        return self.helpers - len(self.out)

    def count(self):
        return self.helpers

    def seconds(self):
        return None

    def take(self, number, items):
        self.given.append(number)
        self.out[number] = pickle.loads(pickle.dumps(items, 5))

    def come(self):
        lost = [number for number in self.out if number in self.lost]
        done = {n: self.doing(items, lambda done, total: None) for n, items in self.out.items() if n not in lost}
        self.out.clear()
        return pickle.loads(pickle.dumps(done, 5)), lost

    def forget(self, numbers):
        for number in numbers:
            self.out.pop(number, None)


class Company:
    """A context with such helpers, or what finds them for a context of a real run; it remembers them."""

    engine = ("", "")

    def __init__(self, passage=None, **options):
        self.made, self.options, self._passage = [], options, passage

    def helpers(self, work):
        self.made.append(Helper(work, **self.options))
        return self.made[-1]

    def passage(self):
        return self._passage

    def close(self):
        pass

    @property
    def given(self) -> int:
        return sum(len(each.given) for each in self.made)


class Nobody:
    """A context of a job that has no others."""

    def helpers(self, work):
        return None
