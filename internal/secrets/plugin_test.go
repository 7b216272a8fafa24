package secrets

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/plugin"
)

// pluginMain is an age plugin of each kind: one that works, one that asks for a
// PIN first, and one that never answers.
func pluginMain(name string) int {
	p, err := plugin.New(name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p.HandleIdentity(func(data []byte) (age.Identity, error) {
		switch name {
		case "asking":
			if _, err := p.RequestValue("PIN?", true); err != nil {
				return nil, err
			}
		case "hanging":
			for parent := os.Getppid(); os.Getppid() == parent; { // but goes with the test
				time.Sleep(50 * time.Millisecond)
			}
		}
		return pluginKey{data}, nil
	})
	p.HandleRecipient(func(data []byte) (age.Recipient, error) { return pluginKey{data}, nil })
	return p.Main()
}

// pluginKey wraps a file key by xor with itself: enough to see that it came here.
type pluginKey struct{ key []byte }

func (k pluginKey) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	return []*age.Stanza{{Type: "fleettest", Args: []string{"1"}, Body: k.xor(fileKey)}}, nil
}

func (k pluginKey) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, stanza := range stanzas {
		if stanza.Type == "fleettest" {
			return k.xor(stanza.Body), nil
		}
	}
	return nil, age.ErrIncorrectIdentity
}

func (k pluginKey) xor(in []byte) []byte {
	out := make([]byte, len(in))
	for i := range in {
		out[i] = in[i] ^ k.key[i%len(k.key)]
	}
	return out
}

// installPlugins puts the test binary into the PATH under the names of plugins.
func installPlugins(t *testing.T, names ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range names {
		if err := os.Symlink(self, filepath.Join(dir, "age-plugin-"+name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestPlugin(t *testing.T) {
	installPlugins(t, "fleettest")
	recipient := plugin.EncodeRecipient("fleettest", []byte("some key"))
	secret := plugin.EncodeIdentity("fleettest", []byte("some key"))
	other := newKeyPair(t)

	envelope := encrypt(t, []byte("hunter2"), recipient, other.public)
	ids, err := ParseIdentities("key file", []byte("#    Recipient: "+recipient+"\n"+secret+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := ids.Recipients(); len(got) != 1 || got[0] != recipient {
		t.Errorf("public keys of the identity: %v", got)
	}
	if got := decrypt(t, envelope, ids); string(got) != "hunter2" {
		t.Errorf("read %q", got)
	}
	got := run(t, []string{"SOPS_AGE_KEY=" + secret}, nil, program(t, "sops"), "decrypt", write(t, "secret", envelope))
	if string(got) != "hunter2" {
		t.Errorf("sops read %q", got)
	}
}

// TestRealPlugin uses the plugin that comes with age.
func TestRealPlugin(t *testing.T) {
	dir := t.TempDir()
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "filippo.io/age/extra/age-plugin-pq").CombinedOutput(); err != nil {
		t.Fatalf("build age-plugin-pq: %v\n%s", err, output)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	identity := run(t, nil, []byte(key.String()+"\n"), filepath.Join(dir, "age-plugin-pq"), "-identity")
	envelope := encrypt(t, []byte("hunter2"), key.Recipient().String(), newKeyPair(t).public)
	for kind, text := range map[string]string{"plugin": string(identity), "native": key.String()} {
		ids, err := ParseIdentities("key file", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := decrypt(t, envelope, ids); string(got) != "hunter2" {
			t.Errorf("%s: read %q", kind, got)
		}
	}
}

func TestPluginThatCannotBeUsed(t *testing.T) {
	installPlugins(t, "fleettest", "asking", "hanging")
	envelope := encrypt(t, []byte("hunter2"), plugin.EncodeRecipient("fleettest", []byte("some key")))
	for _, test := range []struct{ name, want string }{
		{"asking", "asking plugin"},
		{"hanging", "did not answer"},
		{"absent", "not found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			secret := plugin.EncodeIdentity(test.name, []byte("some key"))
			ids, err := ParseIdentities("key file", []byte(secret))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err = Decrypt(ctx, envelope, ids)
			if err == nil || !strings.Contains(err.Error(), test.want) && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("error: %v", err)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error holds the identity: %v", err)
			}
		})
	}
}

// TestNativeKeyBeforePlugin shows that a plugin is left alone where a key at
// hand is enough.
func TestNativeKeyBeforePlugin(t *testing.T) {
	installPlugins(t, "hanging")
	key := newKeyPair(t)
	ids, err := ParseIdentities("key file", []byte(plugin.EncodeIdentity("hanging", []byte("some key"))+"\n"+key.private))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if got := decrypt(t, encrypt(t, []byte("hunter2"), key.public), ids); string(got) != "hunter2" {
		t.Errorf("read %q", got)
	}
	if time.Since(start) > 5*time.Second {
		t.Error("the plugin was asked")
	}
}
