package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Batch is how many machines of a run are changed before the next batch begins:
// a number of them, a share, or the rest.
type Batch struct {
	Count   int
	Percent int
	Rest    bool
}

// ParseBatches reads "1,25%,rest". The last batch is repeated as often as needed.
func ParseBatches(text string) ([]Batch, error) {
	var batches []Batch
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		number, isShare := strings.CutSuffix(part, "%")
		n, err := strconv.Atoi(number)
		switch {
		case part == "rest":
			batches = append(batches, Batch{Rest: true})
		case err != nil || n < 1 || isShare && n > 100:
			return nil, fmt.Errorf("%q is no batch: write a number of machines, a share such as 25%%, or rest", part)
		case isShare:
			batches = append(batches, Batch{Percent: n})
		default:
			batches = append(batches, Batch{Count: n})
		}
	}
	return batches, nil
}

// size is how many of all machines a batch takes, when so many are left.
func (b Batch) size(all, left int) int {
	switch {
	case b.Rest:
		return left
	case b.Percent > 0:
		return min(left, max(1, all*b.Percent/100))
	}
	return min(left, b.Count)
}

// schedule says when machines may be changed: group after group, each when all
// machines of the groups before are at their end. Groups end where a wave ends
// and where a batch does; a batch is made of machines that change, so that one
// machine ahead of the others is one on which something can go wrong. What
// changes nothing does not wait for its turn.
type schedule struct {
	batches   []Batch
	stopAfter int // so many failures stop the run; 0: nothing does

	mu       sync.Mutex
	unseen   int       // machines of which it is not known yet whether they change
	changing []Machine // those that do
	group    map[string]int
	left     []int // machines of each group that are not at their end
	next     int   // the first group whose turn has not come
	failures int
	moved    chan struct{} // closed, and made anew, whenever somebody's turn may have come
}

func newSchedule(machines []Machine, batches []Batch, stopAfter int) *schedule {
	s := &schedule{batches: batches, stopAfter: stopAfter, unseen: len(machines), group: map[string]int{}, moved: make(chan struct{})}
	if len(batches) == 0 { // the groups do not depend on what changes
		s.batches, s.unseen, s.changing = []Batch{{Rest: true}}, 0, slices.Clone(machines)
		s.arrange()
	}
	return s
}

// planned notes whether a machine is going to be changed.
func (s *schedule) planned(m Machine, changes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unseen == 0 {
		return
	}
	if changes {
		s.changing = append(s.changing, m)
	}
	if s.unseen--; s.unseen == 0 {
		s.arrange()
	}
}

// arrange orders the machines by wave and name, and cuts the order into groups.
func (s *schedule) arrange() {
	slices.SortFunc(s.changing, func(a, b Machine) int {
		return cmp.Or(cmp.Compare(a.Wave, b.Wave), strings.Compare(a.Name, b.Name))
	})
	room, begun := 0, 0 // in the batch at hand, and batches begun
	for i, m := range s.changing {
		newBatch := room == 0
		if newBatch {
			room = s.batches[min(begun, len(s.batches)-1)].size(len(s.changing), len(s.changing)-i)
			begun++
		}
		if newBatch || m.Wave != s.changing[i-1].Wave {
			s.left = append(s.left, 0)
		}
		s.group[m.Name] = len(s.left) - 1
		s.left[len(s.left)-1]++
		room--
	}
	s.advance()
}

// advance lets the next groups begin as long as all before are at their end.
func (s *schedule) advance() {
	for s.next < len(s.left) && (s.next == 0 || s.left[s.next-1] == 0) {
		s.next++
	}
	close(s.moved)
	s.moved = make(chan struct{})
}

// wait returns when the machine's turn has come, with a heldBackError if it will
// not come any more.
func (s *schedule) wait(ctx context.Context, machine string) error {
	for {
		s.mu.Lock()
		group, known := s.group[machine]
		mine, stopped, failures, moved := known && group < s.next, s.stopped(), s.failures, s.moved
		s.mu.Unlock()
		switch {
		case stopped:
			return &heldBackError{failures: failures}
		case mine:
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *schedule) stopped() bool { return s.stopAfter > 0 && s.failures >= s.stopAfter }

// ended notes that a machine is at its end.
func (s *schedule) ended(machine string, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if failed {
		s.failures++
	}
	if group, known := s.group[machine]; known {
		s.left[group]--
	} else { // before there are groups: nothing waits for it
		s.changing = slices.DeleteFunc(s.changing, func(m Machine) bool { return m.Name == machine })
	}
	s.advance()
}

// heldBackError says that too many machines failed for another to be changed.
type heldBackError struct{ failures int }

func (e *heldBackError) Error() string {
	verb := "machines have failed"
	if e.failures == 1 {
		verb = "machine has failed"
	}
	return fmt.Sprintf("held back, because %d %s; the machine runs what it ran", e.failures, verb)
}
