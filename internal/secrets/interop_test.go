package secrets

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/quick"
)

// contents are the values that have gone wrong in one tool or another.
func contents(t testing.TB) map[string][]byte {
	mebibyte := make([]byte, 1<<20)
	if _, err := rand.Read(mebibyte); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"empty":            {},
		"newline":          []byte("\n"),
		"no final newline": []byte("hunter2"),
		"final newline":    []byte("hunter2\n"),
		"CRLF":             []byte("a\r\nb\r\n"),
		"UTF-8":            []byte("Grüße, 世界 🔑\n"),
		"not UTF-8":        {0xff, 0xfe, 0x00, 0x80, 0xc3, 0x28},
		"zero bytes":       make([]byte, 100),
		"looks encrypted":  []byte("ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]"),
		"JSON":             []byte(`{"data": 1, "sops": {}}`),
		"1 MiB":            mebibyte,
	}
}

func TestSopsProgram(t *testing.T) {
	sops := program(t, "sops")
	admin, machine := newKeyPair(t), newKeyPair(t)
	for name, plain := range contents(t) {
		t.Run(name, func(t *testing.T) {
			ours := write(t, "secret", encrypt(t, plain, admin.public, machine.public))
			for who, key := range map[string]keyPair{"admin": admin, "machine": machine} {
				got := run(t, []string{"SOPS_AGE_KEY=" + key.private}, nil, sops, "decrypt", ours)
				if !bytes.Equal(got, plain) {
					t.Errorf("sops as %s read our file otherwise than it was: %d bytes for %d", who, len(got), len(plain))
				}
			}

			theirs := run(t, nil, nil, sops, "encrypt", "--age", admin.public+","+machine.public, write(t, "plain", plain))
			for who, key := range map[string]keyPair{"admin": admin, "machine": machine} {
				if got := decrypt(t, theirs, key.ids); !bytes.Equal(got, plain) {
					t.Errorf("we read the file of sops as %s otherwise than it was: %d bytes for %d", who, len(got), len(plain))
				}
			}
			recipients, err := EnvelopeRecipients(theirs)
			if err != nil {
				t.Fatal(err)
			}
			if !SameRecipients(recipients, []string{admin.public, machine.public}) {
				t.Errorf("recipients of the file of sops: %v", recipients)
			}
		})
	}
}

// Whatever bytes there are, the sops program reads ours and we read its.
func TestSopsProgramOfAnything(t *testing.T) {
	sops := program(t, "sops")
	key := newKeyPair(t)
	both := func(plain []byte) bool {
		ours := run(t, []string{"SOPS_AGE_KEY=" + key.private}, nil, sops, "decrypt", write(t, "secret", encrypt(t, plain, key.public)))
		theirs := decrypt(t, run(t, nil, nil, sops, "encrypt", "--age", key.public, write(t, "plain", plain)), key.ids)
		return bytes.Equal(ours, plain) && bytes.Equal(theirs, plain)
	}
	if err := quick.Check(both, &quick.Config{MaxCount: 12}); err != nil { // two processes each
		t.Error(err)
	}
}

// TestByteLayout compares an envelope of ours with one of the sops program, with
// what is random in both masked.
func TestByteLayout(t *testing.T) {
	sops := program(t, "sops")
	first, second := newKeyPair(t), newKeyPair(t)
	if first.public > second.public {
		first, second = second, first
	}
	for name, plain := range map[string][]byte{"text": []byte("hunter2\n"), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			ours := encrypt(t, plain, second.public, first.public, second.public)
			theirs := run(t, nil, nil, sops, "encrypt", "--age", first.public+","+second.public, write(t, "plain", plain))
			if got, want := mask(ours), mask(theirs); got != want {
				t.Errorf("ours:\n%s\nthe sops program's:\n%s", got, want)
			}
		})
	}
}

func mask(envelope []byte) string {
	text := string(envelope)
	for _, random := range []string{`data:[^,]*`, `iv:[^,]*`, `tag:[^,]*`, `FILE-----(\\n[A-Za-z0-9+/=]*)*\\n-----END`, `lastmodified": "[^"]*`} {
		text = regexp.MustCompile(random).ReplaceAllString(text, "…")
	}
	return text
}

func TestVersionIsThatOfTheLibrary(t *testing.T) {
	got := run(t, nil, nil, program(t, "sops"), "--version", "--disable-version-check")
	if !strings.Contains(string(got), sopsVersion) {
		t.Errorf("sopsVersion is %s, but the sops program of go.mod says %s", sopsVersion, got)
	}
}

// TestAgeProgram opens one stanza of an envelope with age alone.
func TestAgeProgram(t *testing.T) {
	age := program(t, "age")
	key := newKeyPair(t)
	var envelope struct {
		Sops struct {
			Age []struct{ Enc, Recipient string }
		}
	}
	if err := json.Unmarshal(encrypt(t, []byte("hunter2"), key.public), &envelope); err != nil {
		t.Fatal(err)
	}
	identity := write(t, "key.txt", []byte(key.private+"\n"))
	dataKey := run(t, nil, []byte(envelope.Sops.Age[0].Enc), age, "--decrypt", "--identity", identity)
	if len(dataKey) != dataKeySize {
		t.Errorf("the stanza holds %d bytes", len(dataKey))
	}
}

func TestSSHRecipient(t *testing.T) {
	sops, keygen := program(t, "sops"), program(t, "ssh-keygen")
	for _, kind := range []string{"ed25519", "rsa"} {
		t.Run(kind, func(t *testing.T) {
			private := filepath.Join(t.TempDir(), "id_"+kind)
			run(t, nil, nil, keygen, "-q", "-t", kind, "-f", private, "-N", "", "-C", "me@example")
			public, err := os.ReadFile(private + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			ours := encrypt(t, []byte("hunter2"), string(public))
			if bytes.Contains(ours, []byte("me@example")) {
				t.Error("the comment of the ssh key got into the envelope")
			}
			variable := "SOPS_AGE_SSH_PRIVATE_KEY_FILE=" + private
			if got := run(t, []string{variable}, nil, sops, "decrypt", write(t, "secret", ours)); string(got) != "hunter2" {
				t.Errorf("sops read %q", got)
			}
			ids, err := LoadIdentities(t.Context(), environment("/nonexistent", variable))
			if err != nil {
				t.Fatal(err)
			}
			if !SameRecipients(ids.Recipients(), []string{string(public)}) {
				t.Errorf("public keys of the identity: %v", ids.Recipients())
			}
			theirs := run(t, nil, nil, sops, "encrypt", "--age", strings.TrimSpace(string(public)), write(t, "plain", []byte("hunter2")))
			if got := decrypt(t, theirs, ids); string(got) != "hunter2" {
				t.Errorf("we read %q", got)
			}
		})
	}
}

// TestSopsEditsOurs lets the sops program change our file and reads it again.
func TestSopsEditsOurs(t *testing.T) {
	sops := program(t, "sops")
	admin, second := newKeyPair(t), newKeyPair(t)
	path := write(t, "secret", encrypt(t, []byte("hunter2\n"), admin.public))
	key := []string{"SOPS_AGE_KEY=" + admin.private}
	run(t, key, nil, sops, "rotate", "--in-place", "--add-age", second.public, path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := decrypt(t, data, second.ids); string(got) != "hunter2\n" {
		t.Errorf("after sops rotate we read %q", got)
	}

	rules := write(t, ".sops.yaml", []byte("creation_rules:\n  - age: "+admin.public+"\n"))
	run(t, key, nil, sops, "--config", rules, "updatekeys", "--yes", "--input-type", "binary", path)
	if data, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if got := decrypt(t, data, admin.ids); string(got) != "hunter2\n" {
		t.Errorf("after sops updatekeys we read %q", got)
	}
	if _, err := Decrypt(t.Context(), data, second.ids); err == nil {
		t.Error("who was removed can still read")
	}
}

// TestRewrapForSops lets the sops program read what we encrypted again.
func TestRewrapForSops(t *testing.T) {
	sops := program(t, "sops")
	admin, machine := newKeyPair(t), newKeyPair(t)
	theirs := run(t, nil, nil, sops, "encrypt", "--age", admin.public, write(t, "plain", []byte("hunter2")))
	both, err := Rewrap(t.Context(), theirs, []string{machine.public, admin.public}, admin.ids)
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, []string{"SOPS_AGE_KEY=" + machine.private}, nil, sops, "decrypt", write(t, "secret", both))
	if string(got) != "hunter2" {
		t.Errorf("sops read %q", got)
	}
}
