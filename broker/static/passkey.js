// Passkeys: gets the WebAuthn options from Stint, runs them in the browser, and submits the form with the result.
(() => {
  const say = (form, text) => {
    const box = form.querySelector('[role=alert]');
    box.textContent = text;
    box.hidden = !text;
  };
  const why = error => error.name === 'NotAllowedError' ? 'Nothing was changed: the passkey prompt was canceled or timed out.'
    : error.name === 'InvalidStateError' ? 'This device already has a passkey for your account.'
    : `The passkey could not be used: ${error.message}`;

  const ask = async form => {
    const answer = await fetch(form.dataset.passkey, { method: 'POST', body: new FormData(form) });
    if (!(answer.headers.get('content-type') || '').includes('json')) throw new Error('this page has expired. Reload it.');
    const wanted = await answer.json();
    return form.hasAttribute('data-add')
      ? navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(wanted) })
      : navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(wanted) });
  };

  document.querySelectorAll('form[data-passkey]').forEach(form => {
    if (!window.PublicKeyCredential?.parseRequestOptionsFromJSON) {
      form.querySelectorAll('button').forEach(button => { button.disabled = true; });
      return say(form, 'This browser doesn’t support passkeys on this page. Use a newer browser.');
    }
    form.addEventListener('submit', async event => {
      event.preventDefault();
      say(form, '');
      try {
        form.elements.passkey.value = JSON.stringify(await ask(form));
        form.submit();
      } catch (error) {
        say(form, why(error));
      }
    });
  });
})();
