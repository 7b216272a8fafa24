package secrets

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestReencrypt(t *testing.T) {
	admin, removed, added := newKeyPair(t), newKeyPair(t), newKeyPair(t)
	later := testTime.Add(time.Hour)
	for _, plain := range []string{"", "hunter2", "\x00\xff\n"} {
		before := encrypt(t, []byte(plain), admin.public, removed.public)
		after, err := Reencrypt(t.Context(), before, []string{added.public, admin.public}, admin.ids, later)
		if err != nil {
			t.Fatal(err)
		}
		for _, ids := range []*Identities{admin.ids, added.ids} {
			if got, err := Decrypt(t.Context(), after, ids); err != nil || string(got) != plain {
				t.Errorf("got %q, %v", got, err)
			}
		}
		// Who is removed can neither open it, nor with the data key that they have.
		if _, err := Decrypt(t.Context(), after, removed.ids); !errors.As(err, new(*NoMatchError)) {
			t.Errorf("error: %v", err)
		}
		tree, err := load(before)
		if err != nil {
			t.Fatal(err)
		}
		old, err := unwrapDataKey(t.Context(), ageKeys(tree), removed.ids)
		if err != nil {
			t.Fatal(err)
		}
		if tree, err = load(after); err != nil {
			t.Fatal(err)
		}
		if _, err := openTree(tree, old); err == nil {
			t.Error("the old data key opens the new envelope")
		}
		keyFile := write(t, "key.txt", append([]byte(added.private), '\n'))
		got := run(t, []string{"SOPS_AGE_KEY_FILE=" + keyFile}, nil, program(t, "sops"), "decrypt", write(t, "secret", after))
		if !bytes.Equal(got, []byte(plain)) {
			t.Errorf("sops read %q", got)
		}
	}
}

func TestReencryptRefuses(t *testing.T) {
	admin, other := newKeyPair(t), newKeyPair(t)
	sealed := encrypt(t, []byte("hunter2"), admin.public)
	pgp := strings.Replace(string(sealed), `"lastmodified"`, `"pgp": [{"created_at": "2026-01-01T00:00:00Z", "enc": "x", "fp": "A0B1"}], "lastmodified"`, 1)
	for name, tt := range map[string]struct {
		envelope string
		ids      *Identities
		want     string
	}{
		"a PGP key beside":     {pgp, admin.ids, "another kind than age"},
		"not a sops file":      {"hunter2", admin.ids, "not a sops file"},
		"somebody else's":      {string(sealed), other.ids, "none of your age identities"},
		"nobody to encrypt to": {string(sealed), admin.ids, "nobody to encrypt to"},
	} {
		t.Run(name, func(t *testing.T) {
			recipients := []string{other.public}
			if name == "nobody to encrypt to" {
				recipients = nil
			}
			got, err := Reencrypt(t.Context(), []byte(tt.envelope), recipients, tt.ids, testTime)
			if got != nil || err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error: %v", err)
			}
		})
	}
}
