Code.require_file("native/compiler.exs", __DIR__)

defmodule Penstock.MixProject do
  use Mix.Project

  @version "0.1.0"

  def project do
    [
      app: :penstock,
      version: @version,
      elixir: "~> 1.14",
      compilers: [:penstock_native] ++ Mix.compilers(),
      elixirc_paths: elixirc_paths(Mix.env()),
      # What newer mix would take for tests with a misspelt name: test/beside/check runs it.
      test_ignore_filters: ["test/beside/flow_and_broadway.exs"],
      start_permanent: Mix.env() == :prod,
      deps: [],
      description: "Event flow with a Rust core: GenStage-compatible stages and an EventStoreDB reader",
      package: [
        licenses: ["Apache-2.0"],
        files: ~w(lib native .cargo Cargo.toml Cargo.lock mix.exs README.md CHANGELOG.md LICENSE)
      ]
    ]
  end

  def application do
    [
      extra_applications: [:logger, :crypto] ++ if(Mix.env() == :test, do: [:ssl], else: []),
      mod: {Penstock.Application, []}
    ]
  end

  defp elixirc_paths(:test), do: ["lib", "test/support"]
  defp elixirc_paths(_), do: ["lib"]
end
