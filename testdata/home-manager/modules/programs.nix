# Programs that can be enabled: their package and the file they read.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.programs;

  text =
    what:
    mkOption {
      type = types.lines;
      default = "";
      description = what;
    };
  aliases = mkOption {
    type = types.attrsOf types.str;
    default = { };
    example = {
      ll = "ls -l";
    };
    description = "Abbreviations.";
  };
  base = name: {
    enable = lib.mkEnableOption name;
    package = lib.mkPackageOption pkgs name { nullable = true; };
  };
  shell =
    name:
    base name
    // {
      shellAliases = aliases;
      shellInit = text "What every ${name} runs.";
      interactiveShellInit = text "What every interactive ${name} runs.";
      loginShellInit = text "What every login ${name} runs.";
      initExtra = text "More of what ${name} runs.";
      initContent = text "More of what ${name} runs.";
    };
  shellFile =
    s:
    lib.concatStrings (
      lib.mapAttrsToList (n: v: "alias ${n}=${lib.escapeShellArg v}\n") (
        config.home.shellAliases // s.shellAliases
      )
    )
    + lib.concatMapStrings (t: lib.optionalString (t != "") "${t}\n") [
      s.shellInit
      s.loginShellInit
      s.interactiveShellInit
      s.initExtra
      s.initContent
    ];
  freeform =
    what:
    mkOption {
      type = types.attrsOf types.anything;
      default = { };
      description = what;
    };
  enabled = [
    "bash"
    "fish"
    "git"
    "tmux"
    "vim"
    "zsh"
    "htop"
    "ripgrep"
  ];
in
{
  options.programs = {
    bash = shell "bash";
    fish = shell "fish" // {
      functions = freeform "Functions; accepted.";
      plugins = mkOption {
        type = types.listOf types.anything;
        default = [ ];
        description = "Plugins; accepted.";
      };
    };
    zsh = shell "zsh";
    git = base "git" // {
      userName = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "Ann Example";
        description = "The name in commits.";
      };
      userEmail = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "ann@example.org";
        description = "The address in commits.";
      };
      settings = freeform "Sections of the settings.";
      extraConfig = freeform "More sections of the settings.";
      ignores = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "*~" ];
        description = "Patterns of files to ignore.";
      };
    };
    home-manager.enable = lib.mkEnableOption "home-manager itself";
  }
  // lib.genAttrs [ "tmux" "vim" "htop" "ripgrep" ] (
    n: base n // { extraConfig = text "More settings of ${n}; accepted."; }
  );

  config = lib.mkMerge (
    map (
      n:
      lib.mkIf (cfg.${n}.enable && cfg.${n}.package != null) {
        home.packages = [ cfg.${n}.package ];
      }
    ) enabled
    ++ [
      (lib.mkIf cfg.bash.enable { home.file.".bashrc".text = shellFile cfg.bash; })
      (lib.mkIf cfg.zsh.enable { home.file.".zshrc".text = shellFile cfg.zsh; })
      (lib.mkIf cfg.fish.enable { xdg.configFile."fish/config.fish".text = shellFile cfg.fish; })
      (lib.mkIf cfg.git.enable {
        xdg.configFile."git/config".text = lib.generators.toGitINI (
          lib.recursiveUpdate cfg.git.settings (
            lib.recursiveUpdate cfg.git.extraConfig {
              user = lib.filterAttrs (_: v: v != null) {
                name = cfg.git.userName;
                email = cfg.git.userEmail;
              };
            }
          )
        );
        xdg.configFile."git/ignore" = lib.mkIf (cfg.git.ignores != [ ]) {
          text = lib.concatMapStrings (i: "${i}\n") cfg.git.ignores;
        };
      })
    ]
  );
}
