package builtin

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"

	"github.com/openwall/yescrypt-go"
	"golang.org/x/crypto/bcrypt"
)

// password makes a password and its hash.
type password struct {
	Length int    `json:"length"`
	Hash   string `json:"hash"` // "" is bcrypt
}

const (
	maxBcrypt = 72  // bytes that bcrypt reads
	maxCrypt  = 511 // bytes that crypt(3) of libxcrypt takes
)

func (p *password) Make(m Material) (map[string][]byte, error) {
	if m.Source != nil {
		// Nobody can type the line break that many an editor leaves at the end.
		hash, err := p.hash(m, bytes.TrimSuffix(m.Source, []byte("\n")))
		return map[string][]byte{"hash": hash}, err
	}
	if p.Length < 8 || p.Length > maxBcrypt {
		return nil, fmt.Errorf("a password has 8 to %d characters, not %d", maxBcrypt, p.Length)
	}
	plain, err := characters(m.Random, lettersAndDigits, p.Length)
	if err != nil {
		return nil, err
	}
	hash, err := p.hash(m, plain)
	return map[string][]byte{"password": plain, "hash": hash}, err
}

// hash gives what stands in /etc/shadow.
func (p *password) hash(m Material, plain []byte) ([]byte, error) {
	most := maxCrypt
	if p.Hash != "yescrypt" {
		most = maxBcrypt
	}
	switch {
	case len(plain) == 0:
		return nil, errors.New("it is empty")
	case len(plain) > most:
		return nil, fmt.Errorf("it is longer than the %d bytes that count", most)
	case bytes.ContainsAny(plain, "\x00\r\n"):
		return nil, errors.New("it holds a byte that nobody can type")
	}
	switch p.Hash {
	case "", "bcrypt":
		const cost = 12 // one guess takes a quarter of a second
		return bcrypt.GenerateFromPassword(plain, cost)
	case "yescrypt":
		// The cost that libxcrypt takes by itself: 16 MiB for one guess. The salt is
		// its kind of base64 of 16 bytes, whose last character stands for two bits.
		salt, err := characters(m.Random, cryptAlphabet, 21)
		if err != nil {
			return nil, err
		}
		last, err := characters(m.Random, cryptAlphabet[:4], 1)
		if err != nil {
			return nil, err
		}
		return yescrypt.Hash(plain, slices.Concat([]byte("$y$j9T$"), salt, last))
	}
	return nil, fmt.Errorf("there is no hash %q: use bcrypt or yescrypt", p.Hash)
}

const (
	lettersAndDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	cryptAlphabet    = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// characters gives n characters of an alphabet of at most 256, each as likely as
// any other.
func characters(random io.Reader, alphabet string, n int) ([]byte, error) {
	mask := byte(1<<bits.Len(uint(len(alphabet)-1)) - 1)
	text := make([]byte, 0, n)
	var b [1]byte
	for len(text) < n {
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return nil, err
		}
		// So many bits may name more than there are; those stand for nothing.
		if i := int(b[0] & mask); i < len(alphabet) {
			text = append(text, alphabet[i])
		}
	}
	return text, nil
}

// token makes random text: bytes in an encoding, or characters of an alphabet.
type token struct {
	Bytes    int    `json:"bytes"`
	Encoding string `json:"encoding"`
	// Alphabet takes the place of the two above, with Length characters of it.
	Alphabet string `json:"alphabet"`
	Length   int    `json:"length"`
}

const maxToken = 1 << 16

func (t *token) Make(m Material) (map[string][]byte, error) {
	text, err := t.text(m.Random)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"token": text}, nil
}

func (t *token) text(random io.Reader) ([]byte, error) {
	if t.Alphabet != "" {
		if err := checkAlphabet(t.Alphabet); err != nil {
			return nil, err
		}
		if t.Length < 1 || t.Length > maxToken {
			return nil, fmt.Errorf("a token has a length of 1 to %d characters, not %d", maxToken, t.Length)
		}
		return characters(random, t.Alphabet, t.Length)
	}
	if t.Bytes < 1 || t.Bytes > maxToken {
		return nil, fmt.Errorf("a token has 1 to %d bytes, not %d", maxToken, t.Bytes)
	}
	raw := make([]byte, t.Bytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return nil, err
	}
	switch t.Encoding {
	case "base64":
		return []byte(base64.StdEncoding.EncodeToString(raw)), nil
	case "base64url":
		return []byte(base64.RawURLEncoding.EncodeToString(raw)), nil
	case "hex":
		return []byte(hex.EncodeToString(raw)), nil
	}
	return nil, fmt.Errorf("there is no encoding %q: use base64, base64url or hex", t.Encoding)
}

// checkAlphabet wants at least two characters of ASCII that can be seen or are a
// space, none of them twice.
func checkAlphabet(alphabet string) error {
	if len(alphabet) < 2 {
		return errors.New("an alphabet has two characters at least")
	}
	for i, r := range alphabet {
		switch {
		case r < ' ' || r > '~':
			return fmt.Errorf("the alphabet holds %q, and only characters of ASCII can be used", r)
		case strings.IndexRune(alphabet, r) < i:
			return fmt.Errorf("the alphabet holds %q twice", r)
		}
	}
	return nil
}
