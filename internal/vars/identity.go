package vars

import (
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/flake"
)

// Identities are the generators of the plan that replace something by which
// others know a machine or trust the fleet, with what it is: an ssh key, the key
// of a certificate authority, a zerotier identity.
func (p *Plan) Identities() []string {
	var found []string
	for _, step := range p.Steps {
		if step.Identity != "" {
			found = append(found, step.ID.String()+", "+step.Identity)
		}
	}
	return found
}

// identity tells what others know by the secrets among files that a generator
// makes; "" if it is nothing special. Of a script only the names tell.
func identity(def *flake.Generator, files []string) string {
	for _, file := range files {
		if def.Files[file] == nil || !def.Files[file].Secret {
			continue
		}
		if def.Builtin != nil {
			return builtinIdentities[def.Builtin.Kind]
		}
		if kind := namedIdentity(def.Name, file); kind != "" {
			return kind
		}
	}
	return ""
}

var builtinIdentities = map[string]string{
	"ssh-key":   "an ssh key",
	"age-key":   "an age key",
	"wireguard": "a wireguard key",
	"x509-ca":   "a certificate authority",
}

// namedIdentity tells by the names what a secret looks like.
func namedIdentity(generator, file string) string {
	words := strings.FieldsFunc(strings.ToLower(generator+"/"+file), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	has := func(word string) bool { return slices.Contains(words, word) }
	some := func(is func(word string) bool) bool { return slices.ContainsFunc(words, is) }
	ssh := some(func(w string) bool { return strings.Contains(w, "ssh") })
	zerotier := some(func(w string) bool { return strings.HasPrefix(w, "zerotier") })
	wireguard := some(func(w string) bool {
		return strings.HasPrefix(w, "wireguard") || strings.TrimRight(w, "0123456789") == "wg"
	})
	switch {
	case has("ca") || has("authority"):
		return "a certificate authority"
	case ssh && (has("id") || has("host") && has("key") || has("hostkey")):
		return "an ssh key"
	case zerotier:
		return "a zerotier identity"
	case wireguard:
		return "a wireguard key"
	case has("age") && (has("key") || has("keys") || has("identity")):
		return "an age key"
	case has("tor") || has("onion"):
		return "the key of a tor service"
	case has("identity"):
		return "an identity"
	}
	return ""
}
