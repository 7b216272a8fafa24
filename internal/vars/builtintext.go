package vars

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/bcrypt"
)

// password makes a password and its bcrypt hash.
type password struct {
	Length int `json:"length"`
}

// passwordCost makes one guess take a quarter of a second.
const passwordCost = 12

// maxPassword is how many bytes of a password bcrypt reads.
const maxPassword = 72

func (p *password) make(m material) (map[string][]byte, error) {
	if m.source != nil {
		// Nobody can type the line break that many an editor leaves at the end.
		hash, err := hashPassword(bytes.TrimSuffix(m.source, []byte("\n")))
		return map[string][]byte{"hash": hash}, err
	}
	if p.Length < 8 || p.Length > maxPassword {
		return nil, fmt.Errorf("a password has 8 to %d characters, not %d", maxPassword, p.Length)
	}
	plain, err := letters(m.random, p.Length)
	if err != nil {
		return nil, err
	}
	hash, err := hashPassword(plain)
	return map[string][]byte{"password": plain, "hash": hash}, err
}

// hashPassword gives what stands in /etc/shadow.
func hashPassword(plain []byte) ([]byte, error) {
	switch {
	case len(plain) == 0:
		return nil, errors.New("it is empty")
	case len(plain) > maxPassword:
		return nil, fmt.Errorf("it is longer than the %d bytes that bcrypt reads", maxPassword)
	case bytes.ContainsAny(plain, "\x00\r\n"):
		return nil, errors.New("it holds a byte that nobody can type")
	}
	return bcrypt.GenerateFromPassword(plain, passwordCost)
}

// letters gives n letters and digits, each as likely as any other.
func letters(random io.Reader, n int) ([]byte, error) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	text := make([]byte, 0, n)
	var b [1]byte
	for len(text) < n {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return nil, err
		}
		// Six bits name one of 64; two of them stand for nothing.
		if i := int(b[0] & 63); i < len(alphabet) {
			text = append(text, alphabet[i])
		}
	}
	return text, nil
}

// token makes random bytes as text.
type token struct {
	Bytes    int    `json:"bytes"`
	Encoding string `json:"encoding"`
}

func (t *token) make(m material) (map[string][]byte, error) {
	if t.Bytes < 1 || t.Bytes > 1<<16 {
		return nil, fmt.Errorf("a token has 1 to %d bytes, not %d", 1<<16, t.Bytes)
	}
	raw := make([]byte, t.Bytes)
	if _, err := io.ReadFull(m.random, raw); err != nil {
		return nil, err
	}
	var text string
	switch t.Encoding {
	case "base64":
		text = base64.StdEncoding.EncodeToString(raw)
	case "base64url":
		text = base64.RawURLEncoding.EncodeToString(raw)
	case "hex":
		text = hex.EncodeToString(raw)
	default:
		return nil, fmt.Errorf("there is no encoding %q: use base64, base64url or hex", t.Encoding)
	}
	return map[string][]byte{"token": []byte(text)}, nil
}
