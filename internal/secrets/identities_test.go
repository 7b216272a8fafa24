package secrets

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// put writes a file below a home directory.
func put(t *testing.T, home, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadIdentities(t *testing.T) {
	first, second := newKeyPair(t), newKeyPair(t)
	file := "# created: 2026\n# public key: " + first.public + "\r\n\n  " + first.private + "\r\n" + second.private
	for _, test := range []struct {
		name string
		want []string
		env  func(home string) Env
	}{
		{"nothing", nil, func(home string) Env { return environment(home) }},
		{"SOPS_AGE_KEY", []string{first.public}, func(home string) Env {
			return environment(home, "SOPS_AGE_KEY="+first.private)
		}},
		{"SOPS_AGE_KEY with several", []string{first.public, second.public}, func(home string) Env {
			return environment(home, "SOPS_AGE_KEY="+first.private+" "+second.private)
		}},
		{"SOPS_AGE_KEY_FILE", []string{first.public, second.public}, func(home string) Env {
			return environment(home, "SOPS_AGE_KEY_FILE="+put(t, home, "mine", file, 0o600))
		}},
		{"SOPS_AGE_KEY_CMD", []string{first.public, second.public}, func(home string) Env {
			return environment(home, "SOPS_AGE_KEY_CMD=cat '"+put(t, home, "with space", file, 0o600)+"'")
		}},
		{"no shell", []string{first.public}, func(home string) Env {
			return environment(home, "SOPS_AGE_KEY_CMD=echo "+first.private+" # $(touch "+home+"/pwned)")
		}},
		{"~/.config", []string{first.public, second.public}, func(home string) Env {
			put(t, home, ".config/sops/age/keys.txt", file, 0o600)
			return environment(home)
		}},
		{"XDG_CONFIG_HOME", []string{second.public}, func(home string) Env {
			put(t, home, ".config/sops/age/keys.txt", first.private, 0o600)
			put(t, home, "xdg/sops/age/keys.txt", second.private, 0o600)
			return environment(home, "XDG_CONFIG_HOME="+filepath.Join(home, "xdg"))
		}},
		{"macOS", []string{first.public}, func(home string) Env {
			put(t, home, "Library/Application Support/sops/age/keys.txt", first.private, 0o600)
			env := environment(home)
			env.Darwin = true
			return env
		}},
		{"no home", nil, func(home string) Env {
			t.Chdir(home) // a repository, say
			put(t, home, ".config/sops/age/keys.txt", first.private, 0o600)
			put(t, home, "xdg/sops/age/keys.txt", first.private, 0o600)
			return environment("", "XDG_CONFIG_HOME=xdg")
		}},
		{"several places", []string{first.public, second.public}, func(home string) Env {
			put(t, home, ".config/sops/age/keys.txt", first.private, 0o600)
			return environment(home, "SOPS_AGE_KEY="+second.private)
		}},
		{"an unfit ssh key", []string{first.public}, func(home string) Env {
			put(t, home, ".ssh/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\nnothing\n-----END OPENSSH PRIVATE KEY-----\n", 0o600)
			return environment(home, "SOPS_AGE_KEY="+first.private)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			home := t.TempDir()
			ids, err := LoadIdentities(t.Context(), test.env(home))
			if err != nil {
				t.Fatal(err)
			}
			if !SameRecipients(ids.Recipients(), test.want) {
				t.Errorf("got %v instead of %v", ids.Recipients(), test.want)
			}
			if _, err := os.Stat(filepath.Join(home, "pwned")); err == nil {
				t.Error("a shell ran")
			}
			if err := ids.Require(); (err != nil) != (test.want == nil) {
				t.Errorf("Require: %v", err)
			}
		})
	}
}

func TestNoIdentity(t *testing.T) {
	home := t.TempDir()
	ids, err := LoadIdentities(t.Context(), environment(home))
	if err != nil {
		t.Fatal(err)
	}
	err = ids.Require()
	if !errors.Is(err, ErrNoIdentity) {
		t.Fatalf("error: %v", err)
	}
	for _, want := range []string{"SOPS_AGE_KEY_FILE", filepath.Join(home, ".config/sops/age/keys.txt"), "fleet vars keys init"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not tell about %s: %v", want, err)
		}
	}
}

func TestUnusableIdentities(t *testing.T) {
	key := newKeyPair(t)
	broken := key.private[:len(key.private)-1]
	for _, test := range []struct{ name, want, variable string }{
		{"no such file", "no such file", "SOPS_AGE_KEY_FILE=/nonexistent/keys.txt"},
		{"a directory", "is a directory", "SOPS_AGE_KEY_FILE=/"},
		{"no such ssh key", "SOPS_AGE_SSH_PRIVATE_KEY_FILE", "SOPS_AGE_SSH_PRIVATE_KEY_FILE=/nonexistent/id"},
		{"cut off", "line 1", "SOPS_AGE_KEY=" + broken},
		{"no key", "line 1", "SOPS_AGE_KEY=swordfish"},
		{"lower case", "line 1", "SOPS_AGE_KEY=" + strings.ToLower(key.private)},
		{"command fails", "exit status 1", "SOPS_AGE_KEY_CMD=false " + key.private},
		{"command is missing", "no such program", "SOPS_AGE_KEY_CMD=" + key.private},
		{"command is absent", "no such program", "SOPS_AGE_KEY_CMD=/nonexistent/" + key.private},
		{"command is cut off", "split into words", "SOPS_AGE_KEY_CMD=echo '" + key.private},
		{"command is empty", "empty", "SOPS_AGE_KEY_CMD=#" + key.private},
		{"command prints other things", "line 1", "SOPS_AGE_KEY_CMD=echo " + broken},
		{"command prints too much", "too much", "SOPS_AGE_KEY_CMD=cat /dev/zero"},
		{"ssh command prints other things", "line 1", "SOPS_AGE_SSH_PRIVATE_KEY_CMD=echo " + broken},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := LoadIdentities(t.Context(), environment(t.TempDir(), test.variable))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error: %v", err)
			}
			for _, secret := range []string{broken[20:], strings.ToLower(broken[20:]), "swordfish"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error holds the key: %v", err)
				}
			}
		})
	}
}

// TestCommandThatHangs leaves a child behind that keeps the output open.
func TestCommandThatHangs(t *testing.T) {
	script := put(t, t.TempDir(), "key", "#!/bin/sh\nsleep 3 &\nsleep 3\n", 0o700)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := LoadIdentities(ctx, environment(t.TempDir(), "SOPS_AGE_KEY_CMD="+script))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error: %v", err)
	}
	if waited := time.Since(start); waited > 2500*time.Millisecond {
		t.Errorf("it took %v to give up", waited)
	}
}

func TestPassphrase(t *testing.T) {
	key := newKeyPair(t)
	ssh := filepath.Join(t.TempDir(), "id_ed25519")
	run(t, nil, nil, program(t, "ssh-keygen"), "-q", "-t", "ed25519", "-f", ssh, "-N", "swordfish")
	encrypted := put(t, t.TempDir(), "keys.age", "age-encryption.org/v1\n-> scrypt abc 18\nabc\n", 0o600)
	for _, variable := range []string{"SOPS_AGE_SSH_PRIVATE_KEY_FILE=" + ssh, "SOPS_AGE_KEY_FILE=" + encrypted} {
		ids, err := LoadIdentities(t.Context(), environment(t.TempDir(), variable))
		if err != nil {
			t.Fatal(err)
		}
		if err := ids.Require(); err == nil || !strings.Contains(err.Error(), "passphrase") {
			t.Errorf("%s: %v", variable, err)
		}
		ids, err = LoadIdentities(t.Context(), environment(t.TempDir(), variable, "SOPS_AGE_KEY="+key.private))
		if err != nil || ids.Require() != nil {
			t.Errorf("%s hinders another identity: %v", variable, err)
		}
	}
}

func TestKeyFileThatOthersRead(t *testing.T) {
	key := newKeyPair(t)
	for mode, warned := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o644: true} {
		t.Run(fmt.Sprintf("%o", mode), func(t *testing.T) {
			path := put(t, t.TempDir(), "keys.txt", key.private, 0o600)
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			ids, err := LoadIdentities(t.Context(), environment(t.TempDir(), "SOPS_AGE_KEY_FILE="+path))
			if err != nil {
				t.Fatal(err)
			}
			warnings := strings.Join(ids.Warnings(), "\n")
			if strings.Contains(warnings, "chmod 600 "+path) != warned {
				t.Errorf("warnings: %q", warnings)
			}
			if strings.Contains(warnings, key.private) {
				t.Errorf("a warning holds the key: %q", warnings)
			}
		})
	}
}

// TestIdentitiesDoNotPrint keeps a careless %v from showing a key.
func TestIdentitiesDoNotPrint(t *testing.T) {
	key := newKeyPair(t)
	for _, format := range []string{"%v", "%+v", "%s", "%#v"} {
		if text := fmt.Sprintf(format, key.ids); strings.Contains(text, key.private) {
			t.Errorf("%s shows the key: %s", format, text)
		}
	}
}

func TestFormatIdentity(t *testing.T) {
	public, private, err := NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, "keys.txt", FormatIdentity(public, private))
	got := run(t, nil, nil, program(t, "sops"), "encrypt", "--age", public, write(t, "plain", []byte("hunter2")))
	plain := run(t, []string{"SOPS_AGE_KEY_FILE=" + file}, nil, program(t, "sops"), "decrypt", write(t, "secret", got))
	if string(plain) != "hunter2" {
		t.Errorf("sops read %q with our key", plain)
	}
}
