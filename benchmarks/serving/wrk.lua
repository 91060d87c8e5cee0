-- Arguments: a folder of whole requests named 1, 2, ..., and how many they are. They are sent in turn.
local requests, count, turn = {}, 0, 0

function init(args)
   count = tonumber(args[2])
   for number = 1, count do
      local file = assert(io.open(args[1] .. "/" .. number, "rb"))
      requests[number] = file:read("*a")
      file:close()
   end
end

function request()
   turn = turn % count + 1
   return requests[turn]
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      'wrk-result {"requests": %d, "duration": %d, "p50": %d, "p99": %d, "errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
