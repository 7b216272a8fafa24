package secrets

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzEnvelope feeds foreign text to everything that reads an envelope: it is
// refused, or what comes out was authenticated. Run it with -fuzzminimizetime 1x:
// encryption is random, which the minimiser mistakes for something of interest.
func FuzzEnvelope(f *testing.F) {
	key, err := os.ReadFile("testdata/envelopes/key.txt")
	if err != nil {
		f.Fatal(err)
	}
	ids, err := ParseIdentities("key.txt", key)
	if err != nil {
		f.Fatal(err)
	}
	files, err := filepath.Glob("testdata/envelopes/*.sops")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		seed, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
		f.Add(bytes.ReplaceAll(seed, []byte("type:str"), []byte("type:bytes")))
		f.Add(bytes.ReplaceAll(seed, []byte("type:str"), []byte("type:time")))
	}
	f.Add([]byte(`{"data":"","sops":{"age":[{}],"lastmodified":"2026-03-04T05:06:07Z","mac":""}}`))
	f.Add([]byte(`{"sops":{"key_groups":[{"age":null}],"lastmodified":"2026-03-04T05:06:07Z"}}`))
	f.Fuzz(func(t *testing.T, envelope []byte) {
		recipients, err := EnvelopeRecipients(envelope)
		if err != nil && recipients != nil {
			t.Errorf("recipients with an error: %v", recipients)
		}
		plain, err := Decrypt(t.Context(), envelope, ids)
		if err != nil && plain != nil {
			t.Error("a plaintext with an error")
		}
		if err == nil && string(plain) != "hunter2\n" && len(plain) != 0 {
			t.Errorf("forged: %q", plain)
		}
		if err == nil {
			more, err := Rewrap(t.Context(), envelope, []string{ids.Recipients()[0], aliceKey, sshKey}, ids)
			if err != nil {
				t.Fatalf("it can be opened, but not encrypted again: %v", err)
			}
			if again := decrypt(t, more, ids); !bytes.Equal(again, plain) {
				t.Errorf("a rewrap changed %q to %q", plain, again)
			}
		}
	})
}

// FuzzAgeFile feeds foreign text to the reader of age files: it is refused, or what
// comes out was authenticated.
func FuzzAgeFile(f *testing.F) {
	key, err := os.ReadFile("testdata/envelopes/key.txt")
	if err != nil {
		f.Fatal(err)
	}
	ids, err := ParseIdentities("key.txt", key)
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := sealAge(f.Context(), []byte("hunter2\n"), append(ids.Recipients(), aliceKey, sshKey))
	if err != nil {
		f.Fatal(err)
	}
	parsed, err := parseAge(sealed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(parsed.data)
	f.Add([]byte(ageMagic + "-> X25519 x\n\n--- x\n"))
	f.Add([]byte("-----BEGIN AGE ENCRYPTED FILE-----\n-----END AGE ENCRYPTED FILE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parseAge(data)
		if err != nil {
			if file != nil || !NotEncrypted(err) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v (%v)", file, err)
			}
			return
		}
		plain, err := file.open(t.Context(), ids)
		if err != nil && plain != nil {
			t.Error("a plaintext with an error")
		}
		if err == nil && string(plain) != "hunter2\n" {
			t.Errorf("forged: %q", plain)
		}
	})
}

func FuzzKeyFile(f *testing.F) {
	for _, seed := range []string{
		aliceKey, sshKey, "[]", "{}", `[{"publickey":"` + aliceKey + `","type":"age"}]`, `{"publickey":"0123","type":"pgp"}`, "null", "[null]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := ParseKeys(data)
		if err != nil {
			return
		}
		text, err := FormatKeys(keys)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseKeys(text)
		if err != nil {
			t.Fatalf("what we write we do not read: %v\n%s", err, text)
		}
		if !SameRecipients(Holder{Keys: keys}.Recipients(), Holder{Keys: again}.Recipients()) {
			t.Errorf("%v became %v", keys, again)
		}
	})
}

func FuzzIdentityFile(f *testing.F) {
	key, err := os.ReadFile("testdata/envelopes/key.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key)
	f.Add([]byte("# recipient: age1yubikey1xyz\nAGE-PLUGIN-YUBIKEY-1XYZ\n"))
	f.Add([]byte("-----BEGIN OPENSSH PRIVATE KEY-----\n-----END OPENSSH PRIVATE KEY-----\n"))
	f.Add([]byte("age-encryption.org/v1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ids, err := ParseIdentities("key file", data)
		if err == nil {
			ids.Recipients()
			return
		}
		for word := range strings.FieldsSeq(string(data)) {
			// Shorter words may be part of the message itself.
			if len(word) > 16 && strings.Contains(err.Error(), word) && !strings.Contains("AGE-SECRET-KEY-1 AGE-PLUGIN-", word) {
				t.Errorf("the error quotes %q: %v", word, err)
			}
		}
	})
}

// FuzzName holds what paths rely on: a good name is one component, and itself.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"cinnabar", "ssh.id_ed25519-cert.pub", "..", "a/b", "", "\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkName("file", name) == nil && (filepath.Base(name) != name || filepath.Clean(name) != name || !filepath.IsLocal(name)) {
			t.Errorf("%q was let through", name)
		}
	})
}

// FuzzRules feeds foreign text to the reader and the editor of .sops.yaml: an
// edit is refused, or it can be taken back to the byte.
func FuzzRules(f *testing.F) {
	f.Add([]byte(rulesOfAFleet), "secrets/a.yaml")
	for _, layout := range layouts {
		f.Add([]byte(strings.NewReplacer("KEY", bobKey, "OTHER", aliceKey).Replace(layout)), "x")
	}
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		r, err := ParseRules(data)
		if err != nil {
			return
		}
		if !bytes.Equal(r.Bytes(), data) {
			t.Error("the source was changed")
		}
		if rule, err := r.For(path); err == nil {
			rule.General()
		}
		for _, anchor := range append(r.Anchors(), Anchor{Key: bobKey}) {
			if r.Has(anchor.Key) && !r.Has(machineKey) {
				roundTrips(t, r, anchor.Key, machineKey, false)
			}
		}
	})
}

// FuzzDocument feeds foreign text to the reader of sops files that people write:
// it is refused, or what comes out of a rewrap holds the same.
func FuzzDocument(f *testing.F) {
	key, err := os.ReadFile("testdata/envelopes/key.txt")
	if err != nil {
		f.Fatal(err)
	}
	ids, err := ParseIdentities("key.txt", key)
	if err != nil {
		f.Fatal(err)
	}
	for name, plain := range documents {
		_, sealed := sealDocument(f, name, plain, ids.Recipients()...)
		f.Add(name, sealed)
		f.Add("x", bytes.ReplaceAll(sealed, []byte("type:str"), []byte("type:bytes")))
		f.Add(name, bytes.ReplaceAll(sealed, []byte("type:str"), []byte("type:comment")))
		f.Add(name, sealed[:len(sealed)/2])
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		IsDocument(data)
		d, err := ParseDocument(name, data, nil)
		if err != nil {
			return
		}
		d.Recipients()
		d.Others()
		if d.Verify(t.Context(), ids) != nil {
			return
		}
		var several *UnsupportedError
		if _, _, err := d.Texts(t.Context(), ids); err != nil && !errors.As(err, &several) {
			t.Fatalf("it can be opened, but not read: %v", err)
		}
		for _, change := range []func() ([]byte, error){
			func() ([]byte, error) { return d.Rewrap(t.Context(), []string{ids.Recipients()[0], aliceKey}, ids) },
			func() ([]byte, error) { return d.Reencrypt(t.Context(), ids.Recipients(), ids, testTime) },
		} {
			after, err := change()
			if errors.Is(err, errReshaped) || errors.Is(err, errOtherKeys) {
				continue
			}
			if err != nil {
				t.Fatalf("it can be opened, but not encrypted again: %v", err)
			}
			again, err := ParseDocument(name, after, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := again.Verify(t.Context(), ids); err != nil {
				t.Fatal(err)
			}
		}
	})
}
