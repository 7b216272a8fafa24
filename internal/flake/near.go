package flake

import (
	"cmp"
	"slices"
	"strings"
)

// Near returns the known names that resemble name, best first, at most three:
// what an error offers after "did you mean".
func Near(name string, known []string) []string {
	type scored struct {
		name string
		cost int
	}
	var close []scored
	lower := strings.ToLower(name)
	for _, k := range known {
		other := strings.ToLower(k)
		cost := distance(lower, other)
		if len(lower) > 2 && strings.Contains(other, lower) {
			cost = min(cost, 1)
		}
		if cost <= max(1, len(name)/3) {
			close = append(close, scored{k, cost})
		}
	}
	slices.SortFunc(close, func(a, b scored) int {
		return cmp.Or(cmp.Compare(a.cost, b.cost), strings.Compare(a.name, b.name))
	})
	var names []string
	for _, s := range close[:min(3, len(close))] {
		names = append(names, s.name)
	}
	return names
}

// distance is the Levenshtein distance with a transposition of neighbours as
// one edit (optimal string alignment).
func distance(a, b string) int {
	before, prev := []int{}, make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev = prev, row
	}
	return prev[len(b)]
}

// DidYouMean renders Near as the tail of a sentence: ", did you mean a or b?",
// or the list of all known names where none is near and there are few.
func DidYouMean(name string, known []string) string {
	if near := Near(name, known); len(near) > 0 {
		return ", did you mean " + strings.Join(near, " or ") + "?"
	}
	if len(known) > 0 && len(known) <= 12 {
		return " (there are " + strings.Join(known, ", ") + ")"
	}
	return ""
}
