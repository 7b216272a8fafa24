package sandbox

import (
	"strings"
	"testing"
)

// A secret that is cut at the begin of what is kept does not show.
func TestTailCutsWholeLines(t *testing.T) {
	secret := strings.Repeat("canary-", 20)
	for limit := 10; limit < 300; limit += 7 {
		log := &tail{limit: limit}
		for range 3 {
			if _, err := log.Write([]byte("before " + secret + " after\nplain\x1b[31m\n")); err != nil {
				t.Fatal(err)
			}
		}
		if got := log.text([][]byte{[]byte(secret)}); strings.Contains(got, "canary") || strings.Contains(got, "\x1b") {
			t.Fatalf("limit %d: %q", limit, got)
		}
	}
}
