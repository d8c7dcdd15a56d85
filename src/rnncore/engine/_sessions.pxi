# SPDX-License-Identifier: MIT
# Part of _core.pyx: states of many running sequences, found by number.


cdef struct session:
    int64_t key, sequence  # the caller's number; the last request that was done
    double time  # of the last use
    uint32_t wave  # the last one that met it
    int32_t newer, older  # neighbours in the order of use, or -1; `older` of a free one is the next free one


SESSION_BYTES = sizeof(session)


@cython.final
cdef class Sessions:
    """Sessions in slots: rows of states, found by key through open addressing, and the order of their last use.

    Callers have a lock. Arrays of keys, slots, sequence numbers and positions are int64 and contiguous.
    """

    cdef readonly int64_t capacity, count
    cdef readonly tuple arrays  # what holds the memory
    cdef rnncore_states states
    cdef session *table
    cdef int32_t *buckets  # slot + 1; 0: none
    cdef uint64_t mask
    cdef int32_t newest, oldest, free, used  # ends of the order; first free slot; slots that were ever in use
    cdef uint32_t wave

    def __init__(self, states, table, buckets):
        """Made of zeros: states (capacity, values), table (capacity, SESSION_BYTES) bytes, buckets int32 (2**k,)."""
        self.arrays = states, table, buckets
        self.capacity = self.states.count = states.shape[0]
        self.states.data, self.states.stride = address(states), states.strides[0]
        self.table, self.buckets = <session *>address(table), <int32_t *>address(buckets)
        self.mask = buckets.shape[0] - 1
        self.newest = self.oldest = self.free = -1

    # The table

    cdef inline uint64_t home(self, int64_t key) noexcept:
        """Where a key's search begins: any keys, multiples of something included, are spread (splitmix64)."""
        cdef uint64_t z = <uint64_t>key
        z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
        z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
        return (z ^ (z >> 31)) & self.mask

    cdef inline uint64_t bucket_of(self, int64_t key) noexcept:
        """The bucket of a key, or the empty one where it would go."""
        cdef uint64_t b = self.home(key)
        while self.buckets[b] and self.table[self.buckets[b] - 1].key != key:
            b = (b + 1) & self.mask
        return b

    cdef void empty_bucket(self, uint64_t hole) noexcept:
        """Empty a bucket, moving back those behind it that would not be found any more."""
        cdef uint64_t b = hole, start
        while True:
            b = (b + 1) & self.mask
            if not self.buckets[b]:
                break
            start = self.home(self.table[self.buckets[b] - 1].key)
            if ((b - start) & self.mask) >= ((b - hole) & self.mask):
                self.buckets[hole] = self.buckets[b]
                hole = b
        self.buckets[hole] = 0

    cdef inline void unlink(self, int32_t slot) noexcept:
        cdef session *s = &self.table[slot]
        if s.newer >= 0:
            self.table[s.newer].older = s.older
        else:
            self.newest = s.older
        if s.older >= 0:
            self.table[s.older].newer = s.newer
        else:
            self.oldest = s.newer

    cdef inline void link(self, int32_t slot) noexcept:
        cdef session *s = &self.table[slot]
        s.newer, s.older = -1, self.newest
        if self.newest >= 0:
            self.table[self.newest].newer = slot
        else:
            self.oldest = slot
        self.newest = slot

    # Sessions

    def find(self, int64_t key):
        """Its slot, or -1."""
        return self.buckets[self.bucket_of(key)] - 1

    def add(self, int64_t key, double now, int64_t sequence):
        """A new session of a key that has none, from a state of zeros; gives its slot. There is room."""
        cdef int32_t slot = self.free
        cdef session *s
        if slot < 0:
            slot = self.used
            self.used += 1
        else:
            self.free = self.table[slot].older
        s = &self.table[slot]
        s.key, s.sequence, s.time, s.wave = key, sequence, now, self.wave
        self.buckets[self.bucket_of(key)] = slot + 1
        self.link(slot)
        self.count += 1
        memset(<char *>self.states.data + slot * self.states.stride, 0, self.states.stride)
        return slot

    def remove(self, int32_t slot):
        """Forget a session."""
        self.empty_bucket(self.bucket_of(self.table[slot].key))
        self.unlink(slot)
        self.table[slot].older = self.free
        self.free = slot
        self.count -= 1

    def get(self, int32_t slot):
        """Its key, last sequence number and time."""
        cdef session *s = &self.table[slot]
        return s.key, s.sequence, s.time

    @property
    def last(self):
        """The slot of the session that was used least recently, or -1."""
        return self.oldest

    def keys(self):
        """All keys, those used least recently first."""
        found = np.empty(self.count, np.int64)
        cdef int64_t *keys = <int64_t *>address(found)
        cdef int64_t i = 0
        cdef int32_t slot = self.oldest
        while slot >= 0:
            keys[i] = self.table[slot].key
            i += 1
            slot = self.table[slot].newer
        return found

    # Requests

    def enter(self, keys, slots, double now):
        """Find slots, -1 for unknown keys, as used now; gives how many keys are unknown, and different known ones."""
        cdef const int64_t *key = <const int64_t *>address(keys)
        cdef int64_t *found = <int64_t *>address(slots)
        cdef int64_t i, unknown = 0, known = 0
        cdef int32_t slot
        self.wave += 1
        for i in range(keys.shape[0]):
            slot = self.buckets[self.bucket_of(key[i])] - 1
            found[i] = slot
            if slot < 0:
                unknown += 1
            elif self.table[slot].wave != self.wave:
                known += 1
                self.table[slot].wave = self.wave
                self.table[slot].time = now
                self.unlink(slot)
                self.link(slot)
        return unknown, known

    def part(self, slots, sequence, pending):
        """Part requests, by their positions, for one step of which no session takes more than one.

        Returns
        -------
        fresh, repeated, stale, later : positions
            To do; done, and the last of their session; done before that; behind a fresh one of their session.
        """
        cdef Py_ssize_t n = pending.shape[0]
        parts = [np.empty(n, np.int64) for _ in range(4)]
        cdef int64_t *to[4]
        cdef int64_t counts[4]
        cdef int64_t i, k
        cdef const int64_t *at = <const int64_t *>address(pending)
        cdef const int64_t *slot = <const int64_t *>address(slots)
        cdef const int64_t *number = <const int64_t *>address(sequence)
        cdef session *s
        for k in range(4):
            to[k], counts[k] = <int64_t *>address(parts[k]), 0
        self.wave += 1
        for i in range(n):
            s = &self.table[slot[at[i]]]
            if s.wave == self.wave:
                k = 3
            elif number == NULL or number[at[i]] > s.sequence:
                s.wave = self.wave
                k = 0
            else:
                k = 1 if number[at[i]] == s.sequence else 2
            to[k][counts[k]] = at[i]
            counts[k] += 1
        return [parts[k][:counts[k]] for k in range(4)]

    # States

    def gather(self, streams, slots):
        """Let the streams' rows be the states of these slots."""
        cdef StreamCore stream
        cdef rnncore_states states = self.states
        cdef const int64_t *rows = <const int64_t *>address(slots)
        for stream in streams:
            check("ids", rnncore_stream_gather(stream.stream, &states, rows, slots.shape[0]))
            stream.set_rows(slots.shape[0])
            states.data = <char *>states.data + rnncore_stream_row_bytes(stream.weights.plan.plan)

    def scatter(self, streams, slots, sequence):
        """Put the streams' rows back and note the sequence numbers: both or nothing, as no signal comes in between."""
        cdef StreamCore stream
        cdef rnncore_states states = self.states
        cdef const int64_t *rows = <const int64_t *>address(slots)
        cdef const int64_t *number = <const int64_t *>address(sequence)
        cdef Py_ssize_t i
        for stream in streams:
            check("ids", rnncore_stream_scatter(stream.stream, &states, rows))
            states.data = <char *>states.data + rnncore_stream_row_bytes(stream.weights.plan.plan)
        if number != NULL:
            for i in range(slots.shape[0]):
                self.table[rows[i]].sequence = number[i]
