package secrets

import "testing"

func TestMask(t *testing.T) {
	pem := "-----BEGIN KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\nshort\n-----END KEY-----\n"
	for _, tt := range []struct{ text, want string }{
		{"the word is hunter2, again hunter2", "the word is ********, again ********"},
		{"line b3BlbnNzaC1rZXktdjEAAAAA of a key", "line ******** of a key"},
		{pem, "********\n"},
		{"nothing", "nothing"},
		{"a hunter2hunter2x", "a ********x"}, // the longer one first
	} {
		got := string(Mask([]byte(tt.text), []byte("hunter2\n"), []byte(pem), []byte("hunter2hunter2"), nil, []byte(" \n"), []byte("h")))
		if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
	}
}
