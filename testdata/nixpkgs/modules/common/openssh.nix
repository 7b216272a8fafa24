{ lib, ... }:
{
  options.services.openssh = {
    enable = lib.mkOption {
      type = lib.types.nullOr lib.types.bool;
      default = null;
      example = true;
      apply = v: v == true;
      description = "Whether the machine takes SSH connections.";
    };
    hostKeys = lib.mkOption {
      type = lib.types.listOf (
        lib.types.submodule {
          freeformType = lib.types.attrsOf lib.types.anything;
          options = {
            path = lib.mkOption {
              type = lib.types.str;
              example = "/etc/ssh/ssh_host_ed25519_key";
              description = "The file of the private key.";
            };
            type = lib.mkOption {
              type = lib.types.str;
              default = "ed25519";
              example = "rsa";
              description = "The kind of key.";
            };
          };
        }
      );
      default = [
        {
          path = "/etc/ssh/ssh_host_ed25519_key";
          type = "ed25519";
        }
      ];
      example = [
        {
          path = "/run/secrets/ssh-host-key.id_ed25519";
          type = "ed25519";
        }
      ];
      description = "The keys that the machine shows to who connects.";
    };
    ports = lib.mkOption {
      type = lib.types.listOf lib.types.port;
      default = [ 22 ];
      example = [ 2222 ];
      description = "The ports to listen on.";
    };
    openFirewall = lib.mkOption {
      type = lib.types.bool;
      default = true;
      example = false;
      description = "Whether the firewall lets the ports through.";
    };
    settings = lib.mkOption {
      type = lib.types.submodule {
        freeformType = lib.types.attrsOf (
          with lib.types;
          nullOr (oneOf [
            bool
            int
            str
            (listOf str)
          ])
        );
      };
      default = { };
      example = {
        PasswordAuthentication = false;
      };
      description = "Lines of sshd_config.";
    };
    extraConfig = lib.mkOption {
      type = lib.types.lines;
      default = "";
      description = "More lines of sshd_config.";
    };
    authorizedKeysFiles = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      description = "More files of authorised keys.";
    };
    knownHosts = lib.mkOption {
      type = lib.types.attrsOf lib.types.anything;
      default = { };
      description = "Keys of other machines; accepted.";
    };
  };
}
