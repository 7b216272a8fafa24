package secrets

import (
	"bytes"
	"cmp"
	"slices"
)

// Mask replaces in text every secret, and every longer line of a secret with
// several, by stars. It is a net below stronger measures, for error messages and
// logs: a program that prints its secrets in another encoding gets past it.
func Mask(text []byte, values ...[]byte) []byte {
	const shortest, shortestLine = 2, 8
	var hidden [][]byte
	for _, secret := range values {
		whole := bytes.TrimSpace(secret)
		if len(whole) < shortest {
			continue
		}
		hidden = append(hidden, whole)
		for line := range bytes.Lines(whole) {
			if line = bytes.TrimSpace(line); len(line) >= shortestLine {
				hidden = append(hidden, line)
			}
		}
	}
	slices.SortFunc(hidden, func(a, b []byte) int { return cmp.Or(cmp.Compare(len(b), len(a)), bytes.Compare(a, b)) })
	for _, secret := range slices.CompactFunc(hidden, bytes.Equal) {
		text = bytes.ReplaceAll(text, secret, []byte("********"))
	}
	return text
}
