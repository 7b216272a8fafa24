package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseBatches(t *testing.T) {
	got, err := ParseBatches("1, 25%,rest")
	if diff := cmp.Diff([]Batch{{Count: 1}, {Percent: 25}, {Rest: true}}, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	for _, text := range []string{"", "0", "-1", "101%", "%", "all", "1,,2", "1;2"} {
		if got, err := ParseBatches(text); err == nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func FuzzParseBatches(f *testing.F) {
	f.Add("1,25%,rest", uint8(9))
	f.Fuzz(func(t *testing.T, text string, count uint8) {
		batches, err := ParseBatches(text)
		if err != nil {
			return
		}
		machines := make([]Machine, count)
		for i := range machines {
			machines[i] = Machine{Name: fmt.Sprint(i), Wave: i % 3}
		}
		s := newSchedule(machines, batches, 0)
		for _, m := range machines {
			s.planned(m, true)
		}
		sum := 0
		for _, n := range s.left {
			sum += n
		}
		if sum != len(machines) {
			t.Errorf("%q: %d of %d machines are in groups", text, sum, count)
		}
	})
}

// A machine that fails while others are yet to be reached is waited for by none.
func TestScheduleEndsEarly(t *testing.T) {
	machines := []Machine{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}}
	s := newSchedule(machines, []Batch{{Count: 1}, {Count: 2}}, 0)
	s.planned(machines[0], true)
	s.ended("a", true)
	s.planned(machines[1], true)
	s.planned(machines[2], true)
	s.planned(machines[3], false)
	s.ended("d", false)
	for _, name := range []string{"b", "c"} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := s.wait(ctx, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		s.ended(name, false)
	}
	if diff := cmp.Diff([]int{0, 0}, s.left); diff != "" {
		t.Error(diff)
	}
}

func TestSchedule(t *testing.T) {
	waves := []Machine{{Name: "d", Wave: 1}, {Name: "b"}, {Name: "c", Wave: 1}, {Name: "a"}, {Name: "e", Wave: 1}}
	for _, test := range []struct {
		machines []Machine
		batches  string
		same     string // the machine that does not change
		want     string
	}{
		{nil, "rest", "", ""},
		{waves, "rest", "", "a b|c d e"},
		{waves, "1,rest", "", "a|b|c d e"},
		{waves, "2", "", "a b|c d|e"},
		{waves, "40%", "", "a b|c d|e"},
		{waves, "1,1%", "", "a|b|c|d|e"},
		{waves, "4,rest", "", "a b|c d|e"},
		{waves, "100%", "", "a b|c d e"},
		{waves, "1,rest", "a", "b|c d e"},
		{waves, "1,rest", "e", "a|b|c d"},
	} {
		batches, err := ParseBatches(test.batches)
		if err != nil {
			t.Fatal(err)
		}
		s := newSchedule(test.machines, batches, 0)
		for _, m := range test.machines {
			s.planned(m, m.Name != test.same)
		}
		groups := make([][]string, len(s.left))
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			if i, ok := s.group[name]; ok {
				groups[i] = append(groups[i], name)
			}
		}
		var texts []string
		for _, g := range groups {
			texts = append(texts, strings.Join(g, " "))
		}
		if got := strings.Join(texts, "|"); got != test.want {
			t.Errorf("%s: %s, want %s", test.batches, got, test.want)
		}
	}
}

func TestScheduleTurns(t *testing.T) {
	s := newSchedule([]Machine{{Name: "a"}, {Name: "b"}, {Name: "c", Wave: 1}, {Name: "d", Wave: 2}}, nil, 1)
	turn := func(machine string) bool {
		done, cancel := context.WithCancel(t.Context())
		cancel()
		return s.wait(done, machine) == nil
	}
	if !turn("a") || !turn("b") || turn("c") {
		t.Error("the first wave alone may begin")
	}
	s.ended("c", false) // it had nothing to do
	s.ended("a", false)
	if turn("c") {
		t.Error("the second wave began before the first ended")
	}
	s.ended("b", false)
	if !turn("d") {
		t.Error("the third wave waits for a second that has ended")
	}
	s.ended("x", true) // it does not evaluate
	var held *heldBackError
	if err := s.wait(t.Context(), "d"); !errors.As(err, &held) || held.failures != 1 {
		t.Errorf("d goes on after a failure: %v", err)
	}
}

// With batches nothing begins before it is known what changes.
func TestScheduleWaitsForPlans(t *testing.T) {
	a, b := Machine{Name: "a"}, Machine{Name: "b"}
	s := newSchedule([]Machine{a, b}, []Batch{{Count: 1}}, 0)
	began := make(chan error)
	go func() { began <- s.wait(t.Context(), "b") }()
	s.planned(b, true)
	select {
	case err := <-began:
		t.Errorf("b did not wait for the plan of a: %v", err)
	default:
	}
	s.planned(a, false)
	if err := <-began; err != nil {
		t.Error(err)
	}
}
