defmodule Penstock.EventStore.KeysTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Penstock.Store

  alias Penstock.{Error, Event, EventStore, LinearSubscription, Native}
  alias Penstock.EventStore.{Keys, Server, Settings}

  @moduletag :capture_log

  @secret "secret99"

  defp how(options) do
    options
    |> Penstock.Options.validate!(Settings.start(), "Penstock.EventStore")
    |> Keys.how!("Penstock.EventStore")
  end

  test "a server is connected to by options as by a connection string" do
    %{server: server} = start()
    port = Server.port(server)

    for hosts <- [["127.0.0.1:#{port}"], [{"127.0.0.1", port}], [{"localhost", port}]] do
      {:ok, store} =
        EventStore.start_link(
          hosts: hosts,
          tls: false,
          default_deadline: 5_000,
          connection_name: "a name & more"
        )

      {:ok, _} = EventStore.append(store, "s", Event.new("T", 1), credentials: {"somebody", @secret})
      assert {:ok, [_ | _]} = EventStore.read(store, "s", credentials: {:bearer, @secret})
      GenServer.stop(store)
    end
  end

  test "every option becomes the key that the core reads, and is refused by it as that" do
    {string, nil} =
      how(
        hosts: ["one", "two:7", {"::1", 3}],
        discover: true,
        tls: false,
        tls_verify_cert: false,
        node_preference: :read_only_replica,
        max_discover_attempts: 3,
        discovery_interval: 50,
        gossip_timeout: 2,
        keep_alive_interval: :infinity,
        keep_alive_timeout: 500,
        default_deadline: :infinity,
        connection_name: "a b&c"
      )

    assert string ==
             "esdb+discover://one,two:7,[::1]:3?tls=false&tlsVerifyCert=false&nodePreference=readOnlyReplica" <>
               "&maxDiscoverAttempts=3&discoveryInterval=50&gossipTimeout=2&keepAliveInterval=-1&keepAliveTimeout=500" <>
               "&defaultDeadline=-1&connectionName=a%20b%26c"

    assert {:ok, _native} = Native.event_store_open_dirty(string)

    Process.flag(:trap_exit, true)

    for {option, key} <- [
          tls_ca_file: "tlsCaFile",
          user_cert_file: "userCertFile",
          user_key_file: "userKeyFile"
        ] do
      options =
        Keyword.merge([hosts: ["h"], user_cert_file: "/no/c", user_key_file: "/no/k"], [
          {option, "/no/such&file"}
        ])

      options = if option == :tls_ca_file, do: Keyword.take(options, [:hosts, option]), else: options

      assert {:error, %Error{reason: :invalid_connection_string, message: message}} =
               EventStore.start_link(options)

      assert message =~ key or message =~ "userCertFile"
    end
  end

  test "what is no whole, or out of its range, is refused by name" do
    for {options, text} <- [
          {[], ~r/:connection_string is required where there are no :hosts/},
          {[connection_string: "esdb://h", hosts: ["h"]], ~r/:hosts cannot be beside :connection_string/},
          {[connection_string: "esdb://h", tls: true], ~r/:tls cannot be beside :connection_string/},
          {[connection_string: "esdb://h", discover: true], ~r/:discover cannot be beside/},
          {[hosts: []], ~r/:hosts takes a list of hosts/},
          {[hosts: ["a/b"]], ~r/:hosts takes a list of hosts/},
          {[hosts: ["user:pw@h"]], ~r/:hosts takes a list of hosts/},
          {[hosts: [{"h", 0}]], ~r/:hosts takes/},
          {[hosts: ["h"], gossip_timeout: 0], ~r/:gossip_timeout takes an integer from 1 to 86400/},
          {[hosts: ["h"], keep_alive_interval: 99], ~r/:keep_alive_interval takes an integer from 100/},
          {[hosts: ["h"], node_preference: :any], ~r/:node_preference takes :leader, :follower/}
        ] do
      assert_raise ArgumentError, text, fn -> EventStore.start_link(options) end
    end
  end

  test "the table in the documentation names every option with its key and default" do
    docs = Keys.docs()

    for {option, _} <- Keys.schema(), option not in [:hosts, :discover, :credentials] do
      assert docs =~ "`#{inspect(option)}`"
    end

    assert docs =~
             "| `:keep_alive_interval` | `keepAliveInterval` | an integer from 100 to 2147483647 or :infinity ms | `10000` ms |"
  end

  describe "a secret" do
    setup do
      Process.flag(:trap_exit, true)
      :ok
    end

    test "that is no secret's kind is refused without being shown" do
      for options <- [
            [hosts: ["h"], credentials: {@secret, :password}],
            [hosts: ["h"], credentials: @secret],
            [connection_string: ~c"esdb://admin:secret99@h"]
          ] do
        error = assert_raise ArgumentError, fn -> EventStore.start_link(options) end
        refute error.message =~ @secret
        assert error.message =~ "not shown"
      end

      %{store: store} = start()

      error =
        assert_raise ArgumentError, fn -> EventStore.read(store, "s", credentials: {:token, @secret}) end

      refute error.message =~ @secret
    end

    test "is shown neither by the process nor by its supervisor" do
      for options <- [
            [connection_string: "esdb://admin:#{@secret}@127.0.0.1:1?tls=false"],
            [hosts: ["127.0.0.1:1"], tls: false, credentials: {"admin", @secret}],
            [hosts: ["127.0.0.1:1"], tls: false, credentials: {:bearer, @secret}]
          ] do
        children = [
          {EventStore, options},
          {LinearSubscription,
           connection: "esdb://admin:#{@secret}@127.0.0.1:1?tls=false",
           stream_name: "s",
           restore_stream_position!: fn -> :start end}
        ]

        {:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one)
        pids = for {_, pid, _, _} <- Supervisor.which_children(supervisor), do: pid

        for pid <- [supervisor | pids] do
          shown = inspect({:sys.get_status(pid), :sys.get_state(pid), Process.info(pid)}, limit: :infinity)
          refute shown =~ @secret
          refute inspect(Process.info(pid, [:dictionary, :backtrace]), limit: :infinity) =~ @secret
        end

        refute inspect(Enum.map(children, fn {module, options} -> module.child_spec(options) end)) =~ @secret
        Supervisor.stop(supervisor)
      end
    end

    test "stands in no report of a crash" do
      children = [
        {EventStore, connection_string: "esdb://admin:#{@secret}@127.0.0.1:1?tls=false"},
        {LinearSubscription,
         connection: "esdb://admin:#{@secret}@127.0.0.1:1?tls=false",
         stream_name: "s",
         restore_stream_position!: fn -> :start end}
      ]

      log =
        capture_log(fn ->
          {:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one, max_restarts: 0)
          {EventStore, pid, _, _} = supervisor |> Supervisor.which_children() |> List.keyfind(EventStore, 0)
          GenServer.cast(pid, :boom)
          assert_receive {:EXIT, ^supervisor, _}, 5_000

          for string <- ["esdb://admin:#{@secret}@h:0", "esdb://admin:#{@secret}@h?tlsCaFile=%2Fno"] do
            assert {:error, error} =
                     Supervisor.start_link([{EventStore, connection_string: string}], strategy: :one_for_one)

            refute inspect(error) =~ @secret
            assert {:error, error} = EventStore.start_link(connection_string: string)
            refute inspect(error) =~ @secret
          end
        end)

      assert log =~ "boom"
      refute log =~ @secret
    end
  end
end
