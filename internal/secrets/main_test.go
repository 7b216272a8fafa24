package secrets

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary stand in the PATH as an age plugin.
func TestMain(m *testing.M) {
	if name, ok := strings.CutPrefix(filepath.Base(os.Args[0]), "age-plugin-"); ok {
		os.Exit(pluginMain(name))
	}
	os.Exit(m.Run())
}

var testTime = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// program finds a real program that .ci/setup brings.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs("../../.cache/bin/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	path, err = exec.LookPath(name)
	if err != nil {
		t.Fatalf("there is no %s: run .ci/setup", name)
	}
	return path
}

// run runs a program with nothing in its environment but what is given, and
// gives its standard output.
func run(t testing.TB, env []string, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	output, stderr, err := tryRun(t, env, stdin, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, stderr)
	}
	return output
}

func tryRun(t testing.TB, env []string, stdin []byte, name string, args ...string) (stdout, stderr []byte, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append([]string{"HOME=/nonexistent", "PATH=" + os.Getenv("PATH")}, env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &errs
	err = cmd.Run()
	return out.Bytes(), errs.Bytes(), err
}

// write puts a file into a new temporary directory.
func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// keyPair is a throw-away age key.
type keyPair struct {
	public  string
	private string
	ids     *Identities
}

func newKeyPair(t testing.TB) keyPair {
	t.Helper()
	public, private, err := NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ParseIdentities("test", FormatIdentity(public, private))
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{public: public, private: string(private), ids: ids}
}

// environment makes an Env of the given variables and nothing else.
func environment(home string, variables ...string) Env {
	lookup := func(name string) string {
		for _, variable := range variables {
			if value, ok := strings.CutPrefix(variable, name+"="); ok {
				return value
			}
		}
		return ""
	}
	return Env{Getenv: lookup, Home: home, Environ: append(variables, "PATH="+os.Getenv("PATH"))}
}

func encrypt(t testing.TB, plain []byte, recipients ...string) []byte {
	t.Helper()
	envelope, err := Encrypt(t.Context(), plain, recipients, testTime)
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

func decrypt(t testing.TB, envelope []byte, ids *Identities) []byte {
	t.Helper()
	plain, err := Decrypt(t.Context(), envelope, ids)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}
