# Evaluates flake.nix with a nixpkgs of nothing but names, for machines that have no network: wrong attributes, types and
# missing files show; whether the real packages are called so does not. nix-instantiate --eval --strict --json evaluate.nix
{ flake }:
let
  library = import ./lib.nix;
  lib = library // {
    # Shows which of the folder's own files are the source.
    cleanSourceWith = { src, filter }: {
      outPath = "/stub/source";
      kept = builtins.filter (name: filter "${toString src}/${name}" "any") (builtins.attrNames (builtins.readDir src))
        ++ (if filter "${toString src}/tools/tvm" "directory" then [ "tools/tvm" ] else [ ]);
    };
  };
  package = name: { outPath = "/stub/${name}"; };
  pkgs = {
    inherit lib;
    fetchurl = { name, url, sha256 }: { outPath = "/stub/wheel/${name}"; inherit url sha256; };
    linkFarm = name: entries: { outPath = "/stub/${name}"; inherit entries; };
    mkShell = { packages, shellHook }: { outPath = "/stub/shell"; inherit shellHook; packages = map toString packages; };
    writeShellScript = name: text: { outPath = "/stub/${name}"; inherit text; };
    runCommand = name: arguments: text: { outPath = "/stub/${name}"; inherit text; };
    stdenv = {
      cc.cc.lib = package "gcc-lib";
      mkDerivation = arguments: arguments // { outPath = "/stub/${arguments.pname}"; };
    };
  } // lib.packages package;
  outputs = (import flake).outputs {
    self = { outPath = "/stub/self"; };
    nixpkgs.legacyPackages.x86_64-linux = pkgs;
  };
  default = outputs.packages.x86_64-linux.default;
in
{
  outputs = builtins.attrNames outputs;
  install = default.installPhase;
  inherit (default) version;
  source = default.src.kept;
  apps = builtins.mapAttrs (name: app: "${app.type} ${app.program}") outputs.apps.x86_64-linux;
  shell = { inherit (outputs.devShells.x86_64-linux.default) packages shellHook; };
  checks = builtins.mapAttrs (name: check: check.text) outputs.checks.x86_64-linux;
}
