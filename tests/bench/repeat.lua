-- wrk's requests: one image posted again and again, as `curl --data-binary @FILE` does it. FILE comes after "--".
function init(args)
   local file = assert(io.open(args[1], "rb"))
   wrk.method = "POST"
   wrk.body = file:read("*a")
   wrk.headers["Content-Type"] = "image/png"
   file:close()
end
