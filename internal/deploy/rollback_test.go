package deploy

import (
	"strings"
	"testing"
)

func TestChooseGeneration(t *testing.T) {
	history := func(system string, current int, systems ...string) Generations {
		gs := Generations{System: system}
		for i, s := range systems {
			if s != "" {
				gs.List = append(gs.List, Generation{Number: i + 1, System: s, Gone: s == "gone"})
			}
		}
		gs.mark(current, "")
		return gs
	}
	for _, test := range []struct {
		name   string
		gs     Generations
		number int
		from   int
		to     int
		err    string
	}{
		{"before", history("c", 3, "a", "b", "c"), 0, 3, 2, ""},
		{"another system", history("c", 4, "a", "b", "c", "c"), 0, 4, 2, ""},
		{"a gap", history("c", 4, "a", "", "", "c"), 0, 4, 1, ""},
		{"one that is gone", history("c", 3, "a", "gone", "c"), 0, 3, 1, ""},
		{"not one after", history("b", 2, "a", "b", "c"), 0, 2, 1, ""},
		{"by its number", history("c", 3, "a", "b", "c"), 1, 3, 1, ""},
		{"forward", history("a", 1, "a", "b", "c"), 3, 1, 3, ""},
		{"by its number from elsewhere", history("x", 3, "a", "b", "c"), 2, 3, 2, ""},
		{"by its number from nowhere", history("x", 0, "a"), 1, 0, 1, ""},
		{"the first", history("a", 1, "a", "b"), 0, 0, 0, "no generation before generation 1"},
		{"elsewhere", history("x", 2, "a", "b"), 0, 0, 0, "it runs x, which is not its current generation 2"},
		{"running nothing", history("", 2, "a", "b"), 0, 0, 0, "it runs no system"},
		{"nowhere", history("a", 0, "a"), 0, 0, 0, "leads to none of its generations"},
		{"no such number", history("b", 2, "a", "b"), 7, 0, 0, "it has no generation 7, but 1, 2"},
		{"none at all", history("", 0), 7, 0, 0, "but none at all"},
		{"the one that is gone", history("c", 3, "a", "gone", "c"), 2, 0, 0, "no longer in its store"},
	} {
		from, to, err := test.gs.rollback(test.number)
		switch {
		case test.err != "":
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: %v, want %q", test.name, err, test.err)
			}
		case err != nil || from.Number != test.from || to.Number != test.to:
			t.Errorf("%s: from %d to %d, %v; want from %d to %d", test.name, from.Number, to.Number, err, test.from, test.to)
		}
	}
}
