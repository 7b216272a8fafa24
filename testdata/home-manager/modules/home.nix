{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.home;
in
{
  options = {
    home = {
      username = mkOption {
        type = types.str;
        example = "ann";
        description = "The user's login name.";
      };
      homeDirectory = mkOption {
        type = types.path;
        default =
          if pkgs.stdenv.hostPlatform.isDarwin then
            "/Users/${cfg.username}"
          else
            "/home/${cfg.username}";
        defaultText = "/Users/NAME or /home/NAME";
        example = "/home/ann";
        description = "The user's home folder.";
      };
      stateVersion = mkOption {
        type = types.str;
        default = lib.trivial.release;
        example = "25.05";
        description = "The release whose data the home holds.";
      };
      packages = mkOption {
        type = types.listOf types.package;
        default = [ ];
        example = lib.literalExpression "[ pkgs.hello ]";
        description = "Packages of the user.";
      };
      sessionVariables = mkOption {
        type = types.lazyAttrsOf (
          with types;
          oneOf [
            str
            path
            int
            float
          ]
        );
        default = { };
        example = {
          EDITOR = "vim";
        };
        description = "Environment variables of every session.";
      };
      sessionPath = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "$HOME/.local/bin" ];
        description = "More folders of PATH.";
      };
      shellAliases = mkOption {
        type = types.attrsOf types.str;
        default = { };
        example = {
          ll = "ls -l";
        };
        description = "Abbreviations of every shell.";
      };
      language = mkOption {
        type = types.attrsOf types.anything;
        default = { };
        description = "Languages; accepted.";
      };
      activation = mkOption {
        type = types.attrsOf types.raw;
        default = { };
        example = lib.literalExpression ''{ greet = lib.hm.dag.entryAfter [ "writeBoundary" ] "echo hello"; }'';
        description = "Commands of the activation; what changes something comes after writeBoundary.";
      };
      enableNixpkgsReleaseCheck = mkOption {
        type = types.bool;
        default = true;
        description = "Whether releases are compared; accepted.";
      };
      path = mkOption {
        type = types.package;
        internal = true;
        description = "The tree of all packages.";
      };
      activationPackage = mkOption {
        type = types.package;
        internal = true;
        description = "What is built and run.";
      };
    };
    assertions = mkOption {
      type = types.listOf types.unspecified;
      internal = true;
      default = [ ];
      description = "What must hold.";
    };
    warnings = mkOption {
      type = types.listOf types.str;
      internal = true;
      default = [ ];
      description = "Messages that evaluation shows.";
    };
    targets = mkOption {
      type = types.attrsOf types.anything;
      default = { };
      description = "Settings of one kind of system; accepted.";
    };
  };

  config.home = {
    path = pkgs.buildEnv {
      name = "home-manager-path";
      paths = cfg.packages;
    };
    file.".profile".text = ''
      ${lib.concatStrings (
        lib.mapAttrsToList (n: v: "export ${n}=${lib.escapeShellArg v}\n") cfg.sessionVariables
      )}export PATH="${lib.concatStringsSep ":" (cfg.sessionPath ++ [ "${cfg.path}/bin" ])}:$PATH"
    '';
    activation = {
      checkLinkTargets = {
        before = [ "writeBoundary" ];
        after = [ ];
        data = "checkLinkTargets";
      };
      writeBoundary = "";
      linkGeneration = {
        before = [ ];
        after = [ "writeBoundary" ];
        data = "linkGeneration";
      };
    };
    activationPackage = lib.asserts.checkAssertWarn config.assertions config.warnings (
      pkgs.runCommand "home-manager-generation"
        {
          activate = ''
            #!${pkgs.runtimeShell}
            set -eu
            newGeneration=@out@
            export PATH=${lib.makeBinPath [ pkgs.coreutils pkgs.bash ]}:$PATH
            ${builtins.readFile ./links.sh}
            ${lib.concatMapStrings (e: ''
              #### ${e.name}
              ${e.data}
            '') (lib.hm.order cfg.activation)}
          '';
          passAsFile = [ "activate" ];
        }
        ''
          mkdir "$out"
          sed "s|@out@|$out|g" "$activatePath" >"$out/activate"
          chmod +x "$out/activate"
          ln -s ${config.home-files} "$out/home-files"
          ln -s ${cfg.path} "$out/home-path"
        ''
    );
  };
}
