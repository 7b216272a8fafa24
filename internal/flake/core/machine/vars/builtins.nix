# The generators that fleet executes itself, by kind: the options of each, the
# files that it makes with their defaults, what those depend on, and what is wrong
# with the chosen options, if that shows only in their combination.
{
  lib,
  generator,
  settings,
}:
let
  inherit (lib) mkOption types;

  commonName = mkOption {
    type = types.nonEmptyStr;
    example = "web.example.org";
    description = "The common name of the certificate.";
  };

  days =
    default:
    mkOption {
      type = types.ints.between 1 36500;
      inherit default;
      description = "How many days the certificate is valid from when it is made. It is not renewed by itself.";
    };
in
{
  ssh-key = {
    description = "An ed25519 key pair of SSH: the secret `id_ed25519` and the public `id_ed25519.pub`.";
    options.comment = mkOption {
      type = types.strMatching "[^\n\r]*";
      default =
        if generator.share then generator.name else "${generator.name}@${settings.machine.name}";
      defaultText = lib.literalMD "`<generator>@<machine>`, of a shared generator its name";
      description = "What the public key ends with, to tell it from others.";
    };
    files = {
      id_ed25519 = { };
      "id_ed25519.pub".secret = false;
    };
  };

  age-key = {
    description = "A key pair of age: the secret identity file `key.txt` and the public recipient `key.pub`, which ends without a newline.";
    options = { };
    files = {
      "key.txt" = { };
      "key.pub".secret = false;
    };
  };

  password = {
    description = ''
      A password of letters and digits: the secret `password`, which is not
      deployed, and its `hash`, which is there before users are made, for
      `users.users.<name>.hashedPasswordFile`. Neither ends with a newline. Where
      there is a password and no hash, it is the one that is hashed.
    '';
    options = {
      length = mkOption {
        # bcrypt reads no more than 72 bytes.
        type = types.ints.between 8 72;
        default = 24;
        example = 32;
        description = "How many characters the password has.";
      };
      hash = mkOption {
        type = types.enum [
          "bcrypt"
          "yescrypt"
        ];
        default = "bcrypt";
        example = "yescrypt";
        description = "How it is hashed: many programs know `bcrypt`; `yescrypt`, which makes guessing cost memory too, is for the users of Linux.";
      };
    };
    files = {
      password.deploy = false;
      hash.neededFor = "users";
    };
  };

  token = {
    description = ''
      Random text: the secret `token`, which ends without a newline. It is a number
      of bytes in an encoding, or of characters of an alphabet.
    '';
    options = {
      bytes = mkOption {
        type = types.ints.between 1 65536;
        default = 32;
        example = 16;
        description = "How many bytes are random. The text is longer.";
      };
      encoding = mkOption {
        type = types.enum [
          "base64"
          "base64url"
          "hex"
        ];
        default = "base64";
        example = "hex";
        description = "How the bytes are written: `base64url` has no padding and fits into URLs and file names.";
      };
      alphabet = mkOption {
        type = types.strMatching "([ -~]{2,})?";
        default = "";
        example = "0123456789";
        description = "The characters of ASCII that the text is made of, each as likely as any other, in place of bytes in an encoding. None is named twice.";
      };
      length = mkOption {
        type = types.ints.between 0 65536;
        default = 0;
        example = 6;
        description = "How many characters of the alphabet the text has.";
      };
    };
    mistake =
      chosen:
      let
        letters = lib.stringToCharacters chosen.alphabet;
      in
      if (chosen.alphabet == "") != (chosen.length == 0) then
        "alphabet and length belong together: set both or neither"
      else if lib.length (lib.unique letters) != lib.length letters then
        "alphabet names a character twice"
      else
        null;
    files.token = { };
  };

  wireguard = {
    description = "A key pair of WireGuard: the secret `privatekey` and the public `publickey`. Neither ends with a newline.";
    options = { };
    files = {
      privatekey = { };
      publickey.secret = false;
    };
  };

  x509-ca = {
    description = ''
      A certificate authority: the secret `ca.key`, which is not deployed, and the
      public certificate `ca.crt`. With `share = true` it is one for all machines.
    '';
    options = {
      inherit commonName;
      days = days 3650;
    };
    files = {
      "ca.key".deploy = false;
      "ca.crt".secret = false;
    };
    validation = chosen: { inherit (chosen) commonName; };
  };

  x509-leaf = {
    description = "A certificate for servers and clients, signed by the CA of another generator: the secret `tls.key` and the public `tls.crt`.";
    options = {
      ca = mkOption {
        type = types.nonEmptyStr;
        example = "root-ca";
        description = "The generator that makes `ca.key` and `ca.crt`. It becomes one of the dependencies.";
      };
      inherit commonName;
      dnsNames = mkOption {
        type = types.listOf types.nonEmptyStr;
        default = [ ];
        example = [ "www.example.org" ];
        description = "The names that clients know the server by. If none is given, the common name is the one.";
      };
      days = days 365;
    };
    files = {
      "tls.key" = { };
      "tls.crt".secret = false;
    };
    dependencies = chosen: [ chosen.ca ];
    validation = chosen: {
      inherit (chosen) ca commonName;
      dnsNames = lib.concatStringsSep " " chosen.dnsNames;
    };
  };
}
