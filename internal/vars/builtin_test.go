package vars

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crs58/fleet/internal/flake"
)

func TestSharedBuiltinsThatDiffer(t *testing.T) {
	of := func(b *flake.Builtin) *genT {
		return &genT{Name: "token", Share: true, Builtin: b}
	}
	token := func(settings string) *flake.Builtin {
		return &flake.Builtin{Kind: "token", Settings: json.RawMessage(settings)}
	}
	for _, tt := range []struct {
		a, b *flake.Builtin
		same bool
	}{
		{token(`{"a":1,"b":"&"}`), token(`{ "b": "\u0026", "a": 1 }`), true},
		{token(`{"a":1}`), token(`{"a":2}`), false},
		{token(`{}`), &flake.Builtin{Kind: "wireguard", Settings: json.RawMessage(`{}`)}, false},
		{token(`{}`), nil, false},
	} {
		_, err := NewGraph(details(map[string][]*genT{"a": {of(tt.a)}, "b": {of(tt.b)}}))
		if (err == nil) != tt.same || err != nil && !strings.Contains(err.Error(), "differently (first/second): builtin;") {
			t.Errorf("%v and %v: %v", tt.a, tt.b, err)
		}
	}
}

// A run of built-in generators builds nothing and needs no program but git; one
// that fails takes along only what depends on it.
func TestRunOfBuiltins(t *testing.T) {
	w := newWorld(t, nil)
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(git, filepath.Join(bin, "git")); err != nil {
		t.Fatal(err)
	}
	w.fleet.Env = []string{"PATH=" + bin, "HOME=" + t.TempDir()}
	w.opts.Builder = nil
	w.set(map[string][]*genT{
		"web": {
			shared(builtIn("ca", "x509-ca", `{"commonName":"CA","days":30}`, "ca.key:local", "ca.crt:public")),
			needs(builtIn("tls", "x509-leaf", `{"ca":"ca","commonName":"web.example.org","days":7}`, "tls.key", "tls.crt:public"), "ca"),
			builtIn("token", "token", `{"bytes":8,"encoding":"hex"}`, "token"),
			builtIn("late", "secret-of-the-future", `{}`, "x"),
		},
	})
	report, err := w.run(Request{})
	if err == nil || !strings.Contains(err.Error(), `generator late on web: this fleet has no built-in generator "secret-of-the-future"`) {
		t.Errorf("the error is %v", err)
	}
	if report == nil || len(report.Generated) != 3 {
		t.Fatalf("the report is %+v", report)
	}
	if got := w.get("web", "token/token"); len(got) != 16 {
		t.Errorf("the token is %q", got)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(w.get("web", "ca/ca.crt")))
	verify := func() {
		t.Helper()
		pair, err := tls.X509KeyPair([]byte(w.get("web", "tls/tls.crt")), []byte(w.get("web", "tls/tls.key")))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "web.example.org"}); err != nil {
			t.Error(err)
		}
	}
	verify()

	// A second leaf of the CA as it was kept.
	before := w.get("web", "tls/tls.key")
	if _, err := w.run(Request{Regenerate: []string{"tls"}, Generators: []string{"tls"}}); err != nil {
		t.Fatal(err)
	}
	if w.get("web", "tls/tls.key") == before {
		t.Error("the key is not new")
	}
	verify()
}
