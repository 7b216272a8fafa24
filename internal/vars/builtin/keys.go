package builtin

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/pem"
	"errors"
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

func (k *sshKey) Make(m Material) (map[string][]byte, error) {
	if strings.ContainsAny(k.Comment, "\r\n") {
		return nil, fmt.Errorf("the comment %q has more than one line", k.Comment)
	}
	files := map[string][]byte{}
	private, err := k.private(m, files)
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
	files["id_ed25519.pub"] = []byte(line + "\n")
	return files, nil
}

// private is the key that is there, of whatever type, or a new one among files.
func (k *sshKey) private(m Material, files map[string][]byte) (crypto.Signer, error) {
	if m.Source != nil {
		key, err := ssh.ParseRawPrivateKey(m.Source)
		if err != nil {
			return nil, errors.New("it is no private key of ssh, or one with a passphrase") // the error may quote it
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, fmt.Errorf("it is a key of a kind that is not supported: %T", key)
		}
		return signer, nil
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(m.Random, seed); err != nil {
		return nil, err
	}
	private := ed25519.NewKeyFromSeed(seed)
	block, err := ssh.MarshalPrivateKey(private, k.Comment)
	if err != nil {
		return nil, err
	}
	files["id_ed25519"] = pem.EncodeToMemory(block)
	return private, nil
}

// ageKey makes an identity file of age, and its recipient.
type ageKey struct{}

func (*ageKey) Make(m Material) (map[string][]byte, error) {
	if m.Source != nil {
		identities, err := secrets.ParseIdentities("it", m.Source)
		if err != nil {
			return nil, err
		}
		recipients := identities.Recipients()
		if len(recipients) != 1 {
			return nil, fmt.Errorf("it holds %d keys of age, where one is wanted", len(recipients))
		}
		return map[string][]byte{"key.pub": []byte(recipients[0])}, nil
	}
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

func (*wireguardKey) Make(m Material) (map[string][]byte, error) {
	scalar, err := m.wireguard()
	if err != nil {
		return nil, err
	}
	private, err := ecdh.X25519().NewPrivateKey(scalar)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"privatekey": []byte(base64.StdEncoding.EncodeToString(scalar)),
		"publickey":  []byte(base64.StdEncoding.EncodeToString(private.PublicKey().Bytes())),
	}, nil
}

// wireguard is the private key that is there, or a new one.
func (m Material) wireguard() ([]byte, error) {
	if m.Source != nil {
		scalar, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(m.Source)))
		if err != nil || len(scalar) != 32 {
			return nil, errors.New("it is no private key of wireguard")
		}
		return scalar, nil
	}
	scalar := make([]byte, 32)
	if _, err := io.ReadFull(m.Random, scalar); err != nil {
		return nil, err
	}
	// Clamped as wg does, which would otherwise show another private key.
	scalar[0] &= 248
	scalar[31] = scalar[31]&127 | 64
	return scalar, nil
}
