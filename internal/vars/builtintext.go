package vars

import (
	"encoding/base64"
	"encoding/hex"
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

func (p *password) make(m material) (map[string][]byte, error) {
	if p.Length < 8 || p.Length > 72 { // more than 72 bytes bcrypt does not read
		return nil, fmt.Errorf("a password has 8 to 72 characters, not %d", p.Length)
	}
	plain, err := letters(m.random, p.Length)
	if err != nil {
		return nil, err
	}
	hash, err := bcrypt.GenerateFromPassword(plain, passwordCost)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"password": plain, "hash": hash}, nil
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
