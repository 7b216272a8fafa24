package vars

import (
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	pem := "-----BEGIN KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\nshort\n-----END KEY-----\n"
	for _, tt := range []struct{ text, want string }{
		{"the word is hunter2, again hunter2", "the word is ********, again ********"},
		{"line b3BlbnNzaC1rZXktdjEAAAAA of a key", "line ******** of a key"},
		{pem, "********\n"},
		{"nothing", "nothing"},
		{"a hunter2hunter2x", "a ********x"}, // the longer one first
	} {
		got := string(mask([]byte(tt.text), [][]byte{[]byte("hunter2\n"), []byte(pem), []byte("hunter2hunter2"), nil, []byte(" \n"), []byte("h")}))
		if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
	}
}

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
