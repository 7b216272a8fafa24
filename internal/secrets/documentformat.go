package secrets

import (
	"bytes"
	"path"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	sopsjson "github.com/getsops/sops/v3/stores/json"
	sopsyaml "github.com/getsops/sops/v3/stores/yaml"
)

// format is one of sops' file formats. A binary file is a JSON one with a single
// value.
type format int

const (
	formatNone format = iota
	formatJSON
	formatYAML
	formatDotenv
	formatINI
)

// store is the library's reader and writer of a format.
func (f format) store(rules *Rules) interface {
	sops.EncryptedFileLoader
	sops.EncryptedFileEmitter
} {
	layout := *config.NewStoresConfig()
	if rules != nil {
		layout = rules.stores
	}
	const widest = 16 // so that nobody's file is blown up
	switch f {
	case formatYAML:
		if layout.YAML.Indent < 0 || layout.YAML.Indent > widest {
			layout.YAML.Indent = 0
		}
		return sopsyaml.NewStore(&layout.YAML)
	case formatDotenv:
		return dotenv.NewStore(&layout.Dotenv)
	case formatINI:
		return ini.NewStore(&layout.INI)
	}
	if layout.JSON.Indent < -1 || layout.JSON.Indent > widest {
		layout.JSON.Indent = -1
	}
	return sopsjson.NewStore(&layout.JSON)
}

// formatsOf are the formats that a sops file can have: that of its suffix, as
// with the sops program, and that of its content.
func formatsOf(name string, data []byte) (formats []format) {
	switch path.Ext(name) {
	case ".yaml", ".yml":
		formats = append(formats, formatYAML)
	case ".json":
		formats = append(formats, formatJSON)
	case ".env":
		formats = append(formats, formatDotenv)
	case ".ini":
		formats = append(formats, formatINI)
	}
	if found := sniff(data); found != formatNone && (len(formats) == 0 || formats[0] != found) {
		formats = append(formats, found)
	}
	return formats
}

// IsDocument tells at first glance whether something may be a sops file: every
// one has an encrypted MAC, and the name of its metadata in a place of its own.
// Few other files do.
func IsDocument(data []byte) bool {
	return bytes.Contains(data, []byte("ENC[AES256_GCM,")) && sniff(data) != formatNone
}

func sniff(data []byte) format {
	switch {
	case bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")):
		if bytes.Contains(data, []byte(`"sops"`)) {
			return formatJSON
		}
	case hasLine(data, "sops_mac="):
		return formatDotenv
	case hasLine(data, "[sops]"):
		return formatINI
	case hasLine(data, "sops:"):
		return formatYAML
	}
	return formatNone
}

// hasLine tells whether a line begins with a text.
func hasLine(data []byte, text string) bool {
	return bytes.HasPrefix(data, []byte(text)) || bytes.Contains(data, []byte("\n"+text))
}

// IsPrivateKey tells whether a file is an age or PEM private key in plain, and
// not only a text with one in it.
func IsPrivateKey(data []byte) bool {
	if !bytes.Contains(data, []byte("PRIVATE KEY-----")) && !bytes.Contains(data, []byte("AGE-SECRET-KEY-1")) {
		return false
	}
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		return bytes.HasPrefix(line, []byte("AGE-SECRET-KEY-")) ||
			bytes.HasPrefix(line, []byte("-----BEGIN ")) && bytes.HasSuffix(line, []byte("PRIVATE KEY-----"))
	}
	return false
}
