package vars

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/crs58/fleet/internal/secrets"
)

// sshKey makes an ed25519 key pair as ssh-keygen writes it.
type sshKey struct {
	Comment string `json:"comment"`
}

func (k *sshKey) make(m material) (map[string][]byte, error) {
	if strings.ContainsAny(k.Comment, "\r\n") {
		return nil, fmt.Errorf("the comment %q has more than one line", k.Comment)
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(m.random, seed); err != nil {
		return nil, err
	}
	private := ed25519.NewKeyFromSeed(seed)
	block, err := ssh.MarshalPrivateKey(private, k.Comment)
	if err != nil {
		return nil, err
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
	if k.Comment != "" {
		line += " " + k.Comment
	}
	return map[string][]byte{
		"id_ed25519":     pem.EncodeToMemory(block),
		"id_ed25519.pub": []byte(line + "\n"),
	}, nil
}

// ageKey makes an identity file of age, and its recipient.
type ageKey struct{}

func (*ageKey) make(material) (map[string][]byte, error) {
	public, private, err := secrets.NewAgeKey()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"key.txt": secrets.FormatIdentity(public, private),
		"key.pub": []byte(public),
	}, nil
}

// wireguardKey makes what `wg genkey` and `wg pubkey` do.
type wireguardKey struct{}

func (*wireguardKey) make(m material) (map[string][]byte, error) {
	scalar := make([]byte, 32)
	if _, err := io.ReadFull(m.random, scalar); err != nil {
		return nil, err
	}
	// Clamped as wg does, which would otherwise show another private key.
	scalar[0] &= 248
	scalar[31] = scalar[31]&127 | 64
	private, err := ecdh.X25519().NewPrivateKey(scalar)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"privatekey": []byte(base64.StdEncoding.EncodeToString(scalar)),
		"publickey":  []byte(base64.StdEncoding.EncodeToString(private.PublicKey().Bytes())),
	}, nil
}
