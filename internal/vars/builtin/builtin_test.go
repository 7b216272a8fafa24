package builtin

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/crs58/fleet/internal/flake"
)

var midsummer = time.Date(2026, 6, 21, 12, 0, 0, 0, time.UTC)

type inputs = map[string]map[string][]byte

// makes runs a built-in generator.
func makes(kind, settings string, m Material) (map[string][]byte, error) {
	maker, err := Parse(&flake.Builtin{Kind: kind, Settings: json.RawMessage(settings)})
	if err != nil {
		return nil, err
	}
	return maker.Make(m)
}

func made(t *testing.T, kind, settings string, in inputs) map[string][]byte {
	t.Helper()
	files, err := makes(kind, settings, Material{Inputs: in, Random: rand.Reader, Now: midsummer})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// tool runs a program of the host with a folder of files.
func tool(t *testing.T, files map[string][]byte, stdin string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Fatalf("run .ci/setup: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Where all randomness is given, so is the result.
func TestOfKnownRandomness(t *testing.T) {
	// Alice of RFC 7748, section 6.1.
	alice := unhex(t, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
	public := base64.StdEncoding.EncodeToString(unhex(t, "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"))
	for _, tt := range []struct {
		kind, settings, random, file, want string
	}{
		{"token", `{"bytes":3,"encoding":"hex"}`, "\x00\xfe\xff", "token", "00feff"},
		{"token", `{"bytes":4,"encoding":"base64"}`, "\xfb\xff\xfe\x00", "token", "+//+AA=="},
		{"token", `{"bytes":4,"encoding":"base64url"}`, "\xfb\xff\xfe\x00", "token", "-__-AA"},
		{"token", `{"alphabet":"0123456789","length":6}`, "\x0a\x00\xf9\x1f\x05\x33\x42\x07", "token", "095327"},
		{"password", `{"length":8}`, "\x00\x01\x3e\x3f\xfe\xff\x3d\x40\x19\x1a\x33\x34", "password", "AB9AZaz0"},
		{"wireguard", `{}`, string(alice), "publickey", public},
		{"ssh-key", `{"comment":"a b"}`, strings.Repeat("\x00", 32), "id_ed25519.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop a b\n"},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			files, err := makes(tt.kind, tt.settings, Material{Random: strings.NewReader(tt.random)})
			if err != nil {
				t.Fatal(err)
			}
			if got := string(files[tt.file]); got != tt.want {
				t.Errorf("%s is %q, want %q", tt.file, got, tt.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	ca := made(t, "x509-ca", `{"commonName":"CA","days":1}`, nil)
	leaf := made(t, "x509-leaf", `{"ca":"ca","commonName":"a.example","days":1}`, inputs{"ca": ca})
	for _, tt := range []struct {
		kind, settings string
		inputs         inputs
		days           int // after the CA was made
		want           string
	}{
		{kind: "gpg", settings: `{}`, want: `no built-in generator "gpg"`},
		{kind: "token", settings: `{"byts":3}`, want: `the settings of builtin.token: json: unknown field "byts"`},
		{kind: "token", settings: ``, want: "the settings of builtin.token"},
		{kind: "token", settings: `{"bytes":-1,"encoding":"hex"}`, want: "not -1"},
		{kind: "token", settings: `{"bytes":1,"encoding":"rot13"}`, want: `no encoding "rot13"`},
		{kind: "token", settings: `{"alphabet":"01","length":0}`, want: "1 to 65536 characters, not 0"},
		{kind: "token", settings: `{"alphabet":"0","length":1}`, want: "two characters at least"},
		{kind: "token", settings: `{"alphabet":"aba","length":1}`, want: `the alphabet holds 'a' twice`},
		{kind: "token", settings: `{"alphabet":"aä","length":1}`, want: `the alphabet holds 'ä', and only`},
		{kind: "password", settings: `{"length":8,"hash":"md5"}`, want: `no hash "md5"`},
		{kind: "password", settings: `{"length":73}`, want: "8 to 72 characters, not 73"},
		{kind: "ssh-key", settings: `{"comment":"a\nb"}`, want: "more than one line"},
		{kind: "x509-leaf", settings: `{"ca":"ca","commonName":"a"}`, want: "ca has no pair of ca.key and ca.crt"},
		{kind: "x509-leaf", settings: `{"ca":"ca","commonName":"a"}`, inputs: inputs{"ca": {"ca.key": leaf["tls.key"], "ca.crt": leaf["tls.crt"]}}, want: "the certificate of no CA"},
		{kind: "x509-leaf", settings: `{"ca":"ca","commonName":"a"}`, inputs: inputs{"ca": {"ca.key": leaf["tls.key"], "ca.crt": ca["ca.crt"]}}, want: "ca has no pair of ca.key and ca.crt"},
		{kind: "x509-leaf", settings: `{"ca":"ca","commonName":"10.0.0.1"}`, inputs: inputs{"ca": ca}, want: "10.0.0.1 is an address"},
		{kind: "x509-leaf", settings: `{"ca":"ca","commonName":"a"}`, inputs: inputs{"ca": ca}, days: 1, want: "was valid until 2026-06-22: name it in --regenerate too"},
	} {
		_, err := makes(tt.kind, tt.settings, Material{Inputs: tt.inputs, Random: rand.Reader, Now: midsummer.AddDate(0, 0, tt.days)})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %s: got %v, want %q", tt.kind, tt.settings, err, tt.want)
		}
	}
	// Randomness that ends too early makes nothing.
	for kind, settings := range map[string]string{
		"ssh-key": `{}`, "wireguard": `{}`, "password": `{"length":24}`, "token": `{"alphabet":"01","length":9}`, "x509-ca": `{"commonName":"CA","days":1}`,
	} {
		short := iotest.DataErrReader(strings.NewReader("too few"))
		if files, err := makes(kind, settings, Material{Random: short, Now: midsummer}); err == nil {
			t.Errorf("%s made %v of too few random bytes", kind, slices.Collect(maps.Keys(files)))
		}
	}
}

func TestSSHKeyOpensWithSSHKeygen(t *testing.T) {
	files := made(t, "ssh-key", `{"comment":"deploy@web"}`, nil)
	if got := tool(t, files, "", "ssh-keygen", "-y", "-f", "id_ed25519"); got != string(files["id_ed25519.pub"]) {
		t.Errorf("ssh-keygen -y gives %q, the public key is %q", got, files["id_ed25519.pub"])
	}
	if got := tool(t, files, "", "ssh-keygen", "-l", "-f", "id_ed25519.pub"); !strings.HasPrefix(got, "256 SHA256:") || !strings.HasSuffix(got, " deploy@web (ED25519)\n") {
		t.Errorf("ssh-keygen -l gives %q", got)
	}
	if bare := made(t, "ssh-key", `{"comment":""}`, nil); len(strings.Fields(string(bare["id_ed25519.pub"]))) != 2 {
		t.Errorf("without a comment it is %q", bare["id_ed25519.pub"])
	}
}

func TestAgeKeyOpensWithAge(t *testing.T) {
	files := made(t, "age-key", `{}`, nil)
	encrypted := tool(t, nil, "attack at dawn", "age", "-a", "-r", string(files["key.pub"]))
	if got := tool(t, files, encrypted, "age", "-d", "-i", "key.txt"); got != "attack at dawn" {
		t.Errorf("age opens %q", got)
	}
}

func TestWireguardKey(t *testing.T) {
	files := made(t, "wireguard", `{}`, nil)
	private, err := base64.StdEncoding.DecodeString(string(files["privatekey"]))
	if err != nil || len(private) != 32 || private[0]&7 != 0 || private[31]>>6 != 1 {
		t.Fatalf("the private key is not one of wg: %v", err)
	}
	// The same key for openssl (RFC 8410).
	der := append(unhex(t, "302e020100300506032b656e04220420"), private...)
	spki := tool(t, map[string][]byte{"key": der}, "", "openssl", "pkey", "-inform", "DER", "-in", "key", "-pubout", "-outform", "PEM")
	block, _ := pem.Decode([]byte(spki))
	if block == nil || base64.StdEncoding.EncodeToString(block.Bytes[12:]) != string(files["publickey"]) {
		t.Errorf("openssl has another public key than %q:\n%s", files["publickey"], spki)
	}
}

// crypt is crypt(3) of the system, which the login of the machines asks too.
func crypt(t *testing.T, password, hash string) string {
	t.Helper()
	return tool(t, nil, password+"\n"+hash+"\n", "perl", "-e", `chomp(($p, $h) = <STDIN>); print crypt($p, $h)`)
}

func TestPassword(t *testing.T) {
	for _, tt := range []struct{ hash, begins string }{{"bcrypt", "$2a$12$"}, {"yescrypt", "$y$j9T$"}} {
		for _, length := range []int{8, 72} {
			files := made(t, "password", fmt.Sprintf(`{"length":%d,"hash":%q}`, length, tt.hash), nil)
			password, hash := string(files["password"]), string(files["hash"])
			if !regexp.MustCompile(`^[A-Za-z0-9]+$`).MatchString(password) || len(password) != length {
				t.Errorf("a password of %d characters is %q", length, password)
			}
			if !strings.HasPrefix(hash, tt.begins) || crypt(t, password, hash) != hash {
				t.Errorf("%s: crypt(3) does not take %s", tt.hash, hash)
			}
			if other := password[:length-1] + string(password[length-1]^1); crypt(t, other, hash) == hash {
				t.Errorf("%s takes another password", hash)
			}
		}
	}
	// The salts of two hashes of one password differ.
	source := Material{Source: []byte("päss wörd"), Random: rand.Reader}
	one, err := makes("password", `{"hash":"yescrypt"}`, source)
	if err != nil {
		t.Fatal(err)
	}
	two, err := makes("password", `{"hash":"yescrypt"}`, source)
	if err != nil || bytes.Equal(one["hash"], two["hash"]) {
		t.Errorf("%s and %s: %v", one["hash"], two["hash"], err)
	}
	if hash := string(one["hash"]); crypt(t, "päss wörd", hash) != hash {
		t.Errorf("crypt(3) does not take %s", hash)
	}
}

// No character is likelier than another, whatever the size of the alphabet.
func TestCharactersAreEquallyLikely(t *testing.T) {
	var every []byte
	for b := range 256 {
		every = append(every, byte(b))
	}
	for size := 2; size <= len(printable); size++ {
		random := bytes.NewReader(every)
		counts := map[byte]int{}
		for {
			text, err := characters(random, printable[:size], 1)
			if err != nil {
				break
			}
			counts[text[0]]++
		}
		for i := range size {
			if counts[printable[i]] != counts[printable[0]] || counts[printable[i]] == 0 {
				t.Errorf("of %d characters %q came %d times, %q %d times", size, printable[0], counts[printable[0]], printable[i], counts[printable[i]])
			}
		}
	}
}

// printable are all characters of ASCII that can be seen, and the space.
var printable = func() (all string) {
	for c := ' '; c <= '~'; c++ {
		all += string(c)
	}
	return all
}()

func TestCertificates(t *testing.T) {
	ca := made(t, "x509-ca", `{"commonName":"Example & Sons","days":30}`, nil)
	files := made(t, "x509-leaf", `{"ca":"root","commonName":"web","dnsNames":["web.example.org","*.web.example.org"],"days":365}`, inputs{"root": ca})
	alone := made(t, "x509-leaf", `{"ca":"root","commonName":"db.example.org","dnsNames":[],"days":7}`, inputs{"root": ca})
	maps.Copy(files, ca)
	files["alone.crt"] = alone["tls.crt"]

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca["ca.crt"])
	for _, tt := range []struct {
		pair  map[string][]byte
		name  string
		valid bool
	}{
		{files, "web.example.org", true},
		{files, "a.web.example.org", true},
		{files, "web", false},
		{alone, "db.example.org", true},
		{alone, "web.example.org", false},
	} {
		pair, err := tls.X509KeyPair(tt.pair["tls.crt"], tt.pair["tls.key"])
		if err != nil {
			t.Fatal(err)
		}
		_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: tt.name, CurrentTime: midsummer, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		if (err == nil) != tt.valid {
			t.Errorf("%s: %v", tt.name, err)
		}
		if end := midsummer.AddDate(0, 0, 30); pair.Leaf.NotAfter.After(end) {
			t.Errorf("it is valid until %s, its CA only until %s", pair.Leaf.NotAfter, end)
		}
	}
	at := strconv.FormatInt(midsummer.Unix(), 10)
	tool(t, files, "", "openssl", "verify", "-x509_strict", "-attime", at, "-CAfile", "ca.crt", "-purpose", "sslserver", "-verify_hostname", "web.example.org", "tls.crt")
	tool(t, files, "", "openssl", "verify", "-x509_strict", "-attime", at, "-CAfile", "ca.crt", "-purpose", "sslclient", "-verify_hostname", "db.example.org", "alone.crt")
	if text := tool(t, files, "", "openssl", "x509", "-in", "ca.crt", "-noout", "-ext", "basicConstraints,keyUsage"); !strings.Contains(text, "CA:TRUE, pathlen:0") || !strings.Contains(text, "Certificate Sign, CRL Sign") {
		t.Errorf("the CA is\n%s", text)
	}
}

func FuzzMake(f *testing.F) {
	for _, kind := range []string{"ssh-key", "age-key", "wireguard", "password", "token", "x509-ca", "x509-leaf"} {
		f.Add(kind, []byte(`{}`))
		f.Add(kind, []byte(`{"bytes":9,"encoding":"hex","length":8,"comment":"c","ca":"ca","commonName":"n","dnsNames":["n"],"days":1}`))
	}
	f.Add("token", []byte(`{"alphabet":"abc ~","length":4}`))
	f.Add("token", []byte(`{"bytes":65536,"encoding":"base64url"}`))
	f.Add("x509-ca", []byte(`{"commonName":"n","days":99999999}`))
	f.Fuzz(func(t *testing.T, kind string, settings []byte) {
		m, err := Parse(&flake.Builtin{Kind: kind, Settings: settings})
		if err != nil {
			return
		}
		if p, ok := m.(*password); ok && p.Length > 8 { // each hash takes its time
			return
		}
		files, err := m.Make(Material{Random: rand.Reader, Now: midsummer})
		for name, data := range files {
			if err != nil || len(data) == 0 {
				t.Errorf("%s %s: %s is empty or comes with %v", kind, settings, name, err)
			}
		}
	})
}
