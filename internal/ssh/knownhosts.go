package ssh

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" // the format of known_hosts, where it only hides names
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

// knownHost is what known_hosts files say of one host. The format and what it
// means: SSH_KNOWN_HOSTS FILE FORMAT in sshd(8).
type knownHost struct {
	keys        []knownKey // the host's own
	authorities []knownKey // whose certificates name its keys: @cert-authority
	revoked     []knownKey // not to be trusted: @revoked
	// unread are the places of lines about the host that we cannot read, such
	// as those with a kind of key that we do not know.
	unread []string
}

// knownKey is one line. Only the blob of a revoked key is known, which need not
// be of a kind that we can use.
type knownKey struct {
	key   ssh.PublicKey
	blob  []byte
	place string // file:line
	file  string
}

// knownFile is a known_hosts file.
type knownFile struct {
	name    string
	content []byte
}

// readKnownHosts reads the files that are there.
func readKnownHosts(names []string) ([]knownFile, error) {
	var files []knownFile
	for _, name := range names {
		info, err := os.Stat(name)
		var content []byte
		if err == nil && info.Mode().IsRegular() { // not /dev/null
			content, err = os.ReadFile(name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read known hosts: %w", err)
		}
		files = append(files, knownFile{name, content})
	}
	return files, nil
}

// lookUp gathers what files say about a host, whose name is as [knownName] gives it.
func lookUp(files []knownFile, name string) (knownHost, error) {
	var host knownHost
	for _, file := range files {
		if err := host.add(file, name); err != nil {
			return knownHost{}, err
		}
	}
	return host, nil
}

// add reads the lines of a file that are about name. Lines that cannot be read
// say nothing, as with OpenSSH.
func (k *knownHost) add(file knownFile, name string) error {
	number := 0
	for line := range bytes.Lines(file.content) {
		number++
		marker, pattern, kind, blob, ok := splitKnownHost(string(line))
		if !ok || !matchKnownName(pattern, name) {
			continue
		}
		entry := knownKey{place: file.name + ":" + strconv.Itoa(number), file: file.name}
		var err error
		if entry.blob, err = base64.StdEncoding.DecodeString(blob); err == nil && marker != "@revoked" {
			entry.key, err = ssh.ParsePublicKey(entry.blob)
		}
		if err == nil && entry.key != nil && entry.key.Type() != kind {
			err = errors.New("the key is of another kind than the line says")
		}
		switch {
		case err != nil && marker == "@revoked":
			return fmt.Errorf("%s: the revoked key cannot be read: %w; mend or remove that line", entry.place, err)
		case err != nil:
			k.unread = append(k.unread, entry.place)
		case marker == "@revoked":
			k.revoked = append(k.revoked, entry)
		case marker == "@cert-authority":
			k.authorities = append(k.authorities, entry)
		case marker == "":
			k.keys = append(k.keys, entry)
		}
	}
	return nil
}

// splitKnownHost takes a line of known_hosts apart.
func splitKnownHost(line string) (marker, pattern, kind, blob string, ok bool) {
	fields := strings.Fields(line)
	if len(fields) > 0 && strings.HasPrefix(fields[0], "@") {
		marker, fields = fields[0], fields[1:]
	}
	if len(fields) < 3 || strings.HasPrefix(fields[0], "#") {
		return "", "", "", "", false
	}
	return marker, fields[0], fields[1], fields[2], true
}

// knownName is a host and port as known_hosts has them.
func knownName(host string, port int) string {
	host = strings.ToLower(host)
	if port == 22 {
		return host
	}
	return "[" + host + "]:" + strconv.Itoa(port)
}

// matchKnownName tells whether the first field of a line is about name: a hash
// of it, or a list of patterns of which one matches and no negated one.
func matchKnownName(field, name string) bool {
	if rest, ok := strings.CutPrefix(field, "|1|"); ok {
		salt, hash, _ := strings.Cut(rest, "|")
		key, err := base64.StdEncoding.DecodeString(salt)
		if err != nil {
			return false
		}
		mac := hmac.New(sha1.New, key)
		mac.Write([]byte(name))
		return base64.StdEncoding.EncodeToString(mac.Sum(nil)) == hash
	}
	matched := false
	for pattern := range strings.SplitSeq(strings.ToLower(field), ",") {
		pattern, negated := strings.CutPrefix(pattern, "!")
		if !matchPattern(pattern, name) {
			continue
		}
		if negated {
			return false
		}
		matched = true
	}
	return matched
}

// matchPattern is OpenSSH's: * stands for any text, ? for any character. It
// takes time in proportion to the product of the lengths, whatever the pattern.
func matchPattern(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0: // let the last * stand for one more
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// knownLine is a line of known_hosts.
func knownLine(name string, key ssh.PublicKey) string {
	return name + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// certify checks a host's certificate against the authorities for it. The error
// says which of them signed it, if any did.
func (k knownHost) certify(cert *ssh.Certificate, host string) (signer *knownKey, err error) {
	for i, authority := range k.authorities {
		if bytes.Equal(authority.blob, cert.SignatureKey.Marshal()) {
			signer = &k.authorities[i]
		}
	}
	if signer == nil {
		return nil, errors.New("no authority for the host signed it")
	}
	if cert.CertType != ssh.HostCert {
		return signer, errors.New("it is a certificate of a user")
	}
	// OpenSSH allows patterns, the checker below only the name.
	principal := host
	for _, p := range cert.ValidPrincipals {
		if matchPattern(strings.ToLower(p), host) {
			principal = p
		}
	}
	return signer, (&ssh.CertChecker{}).CheckCert(principal, cert)
}

// hostOf is the host in a name of known_hosts.
func hostOf(name string) string {
	if host, _, err := net.SplitHostPort(name); err == nil {
		return host
	}
	return name
}
