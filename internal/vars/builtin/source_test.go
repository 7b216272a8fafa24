package builtin

import (
	"crypto/rand"
	"crypto/tls"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/crs58/fleet/internal/secrets"
)

// A secret that a person has brought is used like one that was made here.
func TestForeignSources(t *testing.T) {
	dir := t.TempDir()
	rsa := filepath.Join(dir, "rsa")
	tool(t, nil, "", "ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "old", "-f", rsa)
	locked := filepath.Join(dir, "locked")
	tool(t, nil, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", "canary", "-f", locked)
	read := func(name string) string {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	public, private, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	_, other, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		kind, settings, source, file, want, err string
	}{
		{kind: "ssh-key", settings: `{"comment":"old"}`, source: read(rsa), file: "id_ed25519.pub", want: read(rsa + ".pub")},
		{kind: "ssh-key", settings: `{}`, source: read(locked), err: "it is no private key of ssh, or one with a passphrase"},
		{kind: "ssh-key", settings: `{}`, source: "canary", err: "it is no private key of ssh"},
		{kind: "age-key", settings: `{}`, source: "# mine\n" + string(private) + "\n", file: "key.pub", want: public},
		{kind: "age-key", settings: `{}`, source: string(private) + "\n" + string(other), err: "it holds 2 keys of age"},
		{kind: "age-key", settings: `{}`, source: "", err: "it holds 0 keys of age"},
		{kind: "wireguard", settings: `{}`, source: "canary", err: "it is no private key of wireguard"},
		{kind: "wireguard", settings: `{}`, source: "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n", file: "publickey", want: "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="},
		{kind: "password", settings: `{"length":8}`, source: "", err: "it is empty"},
		{kind: "password", settings: `{"length":8}`, source: "canary\nof two lines", err: "it holds a byte that nobody can type"},
		{kind: "password", settings: `{"length":8}`, source: strings.Repeat("canary", 13), err: "it is longer than the 72 bytes that count"},
		{kind: "password", settings: `{"length":8,"hash":"yescrypt"}`, source: strings.Repeat("canary", 86), err: "it is longer than the 511 bytes that count"},
		{kind: "x509-ca", settings: `{"commonName":"CA","days":1}`, source: "canary", err: "it is no private key in PEM"},
	} {
		files, err := makes(tt.kind, tt.settings, Material{Source: []byte(tt.source), Now: midsummer})
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s of %q: got %v, want %q", tt.kind, tt.source, err, tt.err)
			}
			continue
		}
		if err != nil || string(files[tt.file]) != tt.want {
			t.Errorf("%s: %v, got %q of %v, want %q", tt.kind, err, files[tt.file], slices.Sorted(maps.Keys(files)), tt.want)
		}
	}
	files, err := makes("password", `{"length":8}`, Material{Source: []byte("päss wörd\n")})
	if err != nil || bcrypt.CompareHashAndPassword(files["hash"], []byte("päss wörd")) != nil {
		t.Errorf("%v: the hash is not that of what is typed", err)
	}
	for _, format := range [][]string{
		{"genpkey", "-algorithm", "ED25519"},
		{"ecparam", "-genkey", "-noout", "-name", "prime256v1"},
		{"genrsa", "-traditional", "2048"},
	} {
		key := tool(t, nil, "", append([]string{"openssl"}, format...)...)
		files, err := makes("x509-ca", `{"commonName":"CA","days":1}`, Material{Source: []byte(key), Random: rand.Reader, Now: midsummer})
		if err != nil {
			t.Errorf("%s: %v", format[0], err)
			continue
		}
		if _, err := tls.X509KeyPair(files["ca.crt"], []byte(key)); err != nil {
			t.Errorf("%s: %v", format[0], err)
		}
	}
}
